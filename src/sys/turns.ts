/** Milliseconds of work in one piece after which other work has its turn. */
const turnMs = 10;

/** After what has been asked of this thread meanwhile. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** For work that is synchronous in small steps of which there may be thousands: `next` stands between two. */
export class Turns {
  #sinceMs = performance.now();

  async next(): Promise<void> {
    if (performance.now() - this.#sinceMs < turnMs) return;
    await nextTurn();
    this.#sinceMs = performance.now();
  }
}
