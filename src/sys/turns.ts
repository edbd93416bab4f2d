/** Milliseconds of work in one piece after which other work has its turn. */
const turnMs = 10;

/** For work that is synchronous in small steps of which there may be thousands: `next` stands between two. */
export class Turns {
  #sinceMs = performance.now();

  async next(): Promise<void> {
    if (performance.now() - this.#sinceMs < turnMs) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sinceMs = performance.now();
  }
}
