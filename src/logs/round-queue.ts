import type { Clock } from "../sys/clock.ts";

/** Work of one turn of the event loop; a single piece may take longer. */
export const TURN_MS = 100;

/**
 * Synchronous pieces of work, first come first served: in one turn of the event loop only so many as fit into it,
 * so that whoever asks this thread meanwhile is heard, were there hundreds of logs that are far behind.
 */
export class RoundQueue {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Never in this turn; rejects as the work throws. */
  run<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      const isFirst = this.#waiting.length === 0;
      this.#waiting.push(() => {
        // Rejected where the work throws.
        resolve(new Promise<T>((done) => done(work())));
      });
      if (isFirst) setImmediate(this.#serve);
    });
  }

  /** One stays in the queue until it is done, so that a further one does not ask for a turn as well. */
  readonly #serve = (): void => {
    const untilMs = this.#clock.monotonicMs() + TURN_MS;
    do {
      this.#waiting[0]?.();
      this.#waiting.shift();
    } while (this.#waiting.length > 0 && this.#clock.monotonicMs() < untilMs);
    if (this.#waiting.length > 0) setImmediate(this.#serve);
  };
}
