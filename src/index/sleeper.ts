import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";

/** Timers of one owner, ended together; what they run belongs to no RPC's call trace. */
export class Sleeper {
  readonly #pending = new Set<() => void>();
  readonly #clock: Clock;
  #closed = false;
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `work` after `ms` unless the returned function or `close` is called before. */
  after(ms: number, work: () => void): () => void {
    const cancelled = new AbortController();
    const cancel = (): void => {
      this.#pending.delete(cancel);
      cancelled.abort();
    };
    if (this.#closed) return cancel;
    this.#pending.add(cancel);
    outsideCall(() => {
      this.#clock.sleep(ms, cancelled.signal).then(
        () => {
          if (cancelled.signal.aborted) return;
          this.#pending.delete(cancel);
          work();
        },
        () => undefined,
      );
    });
    return cancel;
  }

  /** Waits; `wake` gets the function that ends the wait early. `close` ends it, too. */
  pause(ms: number, wake?: (now: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve();
        return;
      }
      const stop = this.after(ms, () => {
        done();
      });
      const done = (): void => {
        this.#pending.delete(done);
        stop();
        resolve();
      };
      this.#pending.add(done);
      wake?.(done);
    });
  }

  /** The outcome of `work`, or "late" when it takes longer than `ms`; then its outcome is dropped. */
  within<T>(work: Promise<T>, ms: number): Promise<T | "late"> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(ms, () => {
        resolve("late");
      });
      work.then(resolve, reject).finally(cancel);
    });
  }

  close(): void {
    this.#closed = true;
    for (const cancel of [...this.#pending]) cancel();
  }
}
