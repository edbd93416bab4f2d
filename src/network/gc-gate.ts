import { CriError } from "../errors.ts";
import { waiting } from "../sys/call-trace.ts";

/**
 * The spec lets no ADD or DEL run beside a GC. Attachments never wait for one that has not begun: a
 * GC takes its turn only when nothing else runs, so a hanging plugin cannot hold new pods up.
 */
export class GcGate {
  #attachments = 0;
  #collection: Promise<void> | undefined;

  async attach<T>(work: () => Promise<T>): Promise<T> {
    for (let gc = this.#collection; gc !== undefined; gc = this.#collection) {
      const running = gc;
      await waiting("CNI GC", () => running);
    }
    this.#attachments += 1;
    try {
      return await work();
    } finally {
      this.#attachments -= 1;
    }
  }

  /** Throws CriError Unavailable at once when attachments, or another GC, are under way. */
  async collect(work: () => Promise<void>): Promise<void> {
    if (this.#attachments > 0 || this.#collection !== undefined) {
      throw new CriError("Unavailable", "CNI GC: pods are being attached, try again later");
    }
    const running = work();
    this.#collection = running.then(
      () => undefined,
      () => undefined,
    );
    try {
      await running;
    } finally {
      this.#collection = undefined;
    }
  }
}
