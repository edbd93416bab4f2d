/** A list may take this part of the time at most: with thousands of containers it is dear for Docker. */
const SHARE = 50;
const LONGEST_MS = 120_000;
/** Of so many lists the quickest one counts: a list that had to wait is not a dear one. */
const REMEMBERED = 3;

/** How often the reconcile list is asked for: as often as set, or as its price allows. */
export class ReconcilePeriod {
  readonly #shortestMs: number;
  #lastMs: number[] = [];
  constructor(shortestMs: number) {
    this.#shortestMs = shortestMs;
  }

  /** One more list has taken this long, in milliseconds. */
  took(ms: number): void {
    this.#lastMs = [...this.#lastMs, ms].slice(-REMEMBERED);
  }

  get ms(): number {
    const priceMs = this.#lastMs.length < REMEMBERED ? 0 : Math.min(...this.#lastMs);
    return Math.max(this.#shortestMs, Math.min(LONGEST_MS, priceMs * SHARE));
  }
}
