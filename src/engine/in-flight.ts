import { waiting } from "../sys/call-trace.ts";

/**
 * At most `limit` requests of a lane at the engine at once. The rest wait in order inside their own
 * deadline: a frozen engine then holds `limit` connections and no more.
 */
export class InFlightCap {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#free = limit;
  }

  /** Requests that wait for a place. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves with the function that gives the place back; rejects with the signal's reason. */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await waiting("place at the engine", () => this.#turn(signal));
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#leave();
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(go);
        reject(signal.reason as Error);
      };
      const go = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
