import type { Clock } from "../../../src/sys/clock.ts";

interface Sleeper {
  atMs: number;
  wake: () => void;
}

/** Time that moves only when told to; wall clock and monotonic clock go together, unless it is set. */
export class VirtualClock implements Clock {
  #ms = 1_000;
  #originMs = 1_800_000_000_000;
  readonly #sleepers = new Set<Sleeper>();

  nowNs(): bigint {
    return BigInt(Math.round((this.#originMs + this.#ms) * 1000)) * 1000n;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  /** Somebody sets the wall clock, forwards or (negative) back. */
  setWall(byMs: number): void {
    this.#originMs += byMs;
  }

  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason as Error);
      };
      const sleeper: Sleeper = {
        atMs: this.#ms + ms,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Moves on by `ms`, waking every sleeper at its own time and letting what it starts run. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    await settle();
    for (;;) {
      let next: Sleeper | undefined;
      for (const sleeper of this.#sleepers) {
        if (sleeper.atMs <= endMs && (next === undefined || sleeper.atMs < next.atMs))
          next = sleeper;
      }
      if (next === undefined) break;
      this.#ms = Math.max(this.#ms, next.atMs);
      this.#sleepers.delete(next);
      next.wake();
      await settle();
    }
    this.#ms = endMs;
  }
}

/** Lets promises that are ready run; a turn of the event loop also drains what they start. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
