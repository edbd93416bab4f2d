import type { CallEvent } from "./event.ts";
import { durationText } from "./text.ts";

/** The slowest calls of a window, slowest first. Holds no more than it may show. */
export class Slowest {
  readonly #limit: number;
  #calls: CallEvent[] = [];
  #seen = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(call: CallEvent): void {
    this.#seen += 1;
    const last = this.#calls.at(-1);
    if (this.#calls.length >= this.#limit && call.durationMs <= (last?.durationMs ?? 0)) return;
    this.#calls.push(call);
    this.#calls.sort((a, b) => b.durationMs - a.durationMs);
    this.#calls.length = Math.min(this.#calls.length, this.#limit);
  }

  /** What there is, and starts over. */
  take(windowMs?: number): { title: string; calls: CallEvent[] } {
    const during = windowMs === undefined ? "" : ` in ${durationText(windowMs)}`;
    const title = `-- the slowest ${this.#calls.length} of ${this.#seen} calls${during} --`;
    const calls = this.#calls;
    this.#calls = [];
    this.#seen = 0;
    return { title, calls };
  }
}
