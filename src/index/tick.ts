import type { Clock } from "../sys/clock.ts";
import type { Mark } from "./container-index.ts";

/**
 * Our clock and the engine's are the same one, but Date.now() is whole milliseconds: an event counts
 * as seen by a request only if the request began this much later.
 */
const SLACK_NS = 2_000_000n;
/** More than this between wall and monotonic clock since a mark: the wall clock was set. */
const WALL_SET_MS = 50;

/** Numbers everything that happens, in the order in which this process learns of it. */
export class Tick {
  #order = 0;
  readonly #clock: Clock;
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  next(): number {
    return ++this.#order;
  }

  mark(): Mark {
    return {
      order: this.next(),
      wallNs: this.#clock.nowNs(),
      monotonicMs: this.#clock.monotonicMs(),
    };
  }

  /** True when a request that began at `mark` must have seen what the engine did at `atNs`. */
  covers(mark: Mark, atNs: bigint): boolean {
    if (mark.wallNs - SLACK_NS <= atNs) return false;
    const wallMs = Number((this.#clock.nowNs() - mark.wallNs) / 1_000_000n);
    return Math.abs(wallMs - (this.#clock.monotonicMs() - mark.monotonicMs)) < WALL_SET_MS;
  }
}
