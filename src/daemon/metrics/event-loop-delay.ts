import { createHistogram, performance } from "node:perf_hooks";
import type { EventLoopDelay } from "./sources.ts";

/** Often enough to see a stall of a tenth of a second, seldom enough to cost nothing. */
export const samplePeriodMs = 50;

/** Histograms hold whole numbers from 1 on. */
const perSecond = 1e6;

/**
 * How late a timer of 50 ms is: what work had to wait for the event loop. Node's own monitorEventLoopDelay counts the period
 * of its timer as delay, and loses what is under way when it is reset, which each scrape does.
 */
export class EventLoopWatch {
  readonly #delays = createHistogram();
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #dueMs: number;

  /** @param now milliseconds of a clock that is never set */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#dueMs = now() + samplePeriodMs;
    this.#timer = setInterval(() => this.sample(), samplePeriodMs).unref();
  }

  /** The timer's; the delay is that of the one run which was due. */
  sample(): void {
    const nowMs = this.#now();
    const lateSeconds = Math.max(0, nowMs - this.#dueMs) / 1e3;
    this.#delays.record(Math.max(1, Math.round(lateSeconds * perSecond)));
    this.#dueMs = nowMs + samplePeriodMs;
  }

  /** What was measured since the last call, in seconds; zeros where nothing was. */
  read(): EventLoopDelay {
    const histogram = this.#delays;
    const delay =
      histogram.count === 0
        ? { p50: 0, p90: 0, p99: 0, max: 0 }
        : {
            p50: histogram.percentile(50) / perSecond,
            p90: histogram.percentile(90) / perSecond,
            p99: histogram.percentile(99) / perSecond,
            max: histogram.max / perSecond,
          };
    histogram.reset();
    return delay;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
