import type { EngineEvent } from "../engine/types.ts";
import type { Sleeper } from "./sleeper.ts";

/** What is repeated may come after a list that was asked for at the same time. */
const REPEATS_MS = 50;
/** More than the engine itself remembers. */
const EVENTS_KEPT = 512;

/**
 * Between two event streams events may be lost. The engine repeats some of the past to each new stream:
 * once it repeats the last event that was heard, all since then are still to come, and there is no gap.
 */
export class EventGap {
  readonly #sleeper: Sleeper;
  /** The events that were heard last, in their order. */
  readonly #heard = new Set<string>();
  /** Those of the streams before this one: the engine may tell them again. */
  #repeats = new Set<string>();
  /** Order before which events may have been lost. */
  #at: number | undefined;
  /** The last event before the gap: who is given it again has missed none. */
  #bridge: string | undefined;
  #wake: () => void = () => undefined;

  constructor(sleeper: Sleeper) {
    this.#sleeper = sleeper;
  }

  /** A stream begins: what came before `order`, and after the stream before it, may be lost. */
  begins(order: number): void {
    // A gap that is still owed is older than what the engine can repeat.
    if (this.#at !== undefined) this.#bridge = undefined;
    this.#at = order;
  }

  streamEnded(): void {
    this.#repeats = new Set(this.#heard);
    this.#bridge = [...this.#heard].at(-1);
  }

  /** True for an event that an earlier stream has told. */
  isRepeated(event: EngineEvent): boolean {
    const key = `${event.timeNano} ${event.Action} ${event.Actor.ID}`;
    if (key === this.#bridge) {
      this.#bridge = undefined;
      this.#at = undefined;
      this.#wake();
    }
    if (this.#repeats.delete(key)) return true;
    this.#heard.delete(key);
    this.#heard.add(key);
    if (this.#heard.size > EVENTS_KEPT) {
      const [oldest = ""] = this.#heard;
      this.#heard.delete(oldest);
    }
    return false;
  }

  /** Order before which events may be lost, undefined when none are; waits a moment for the bridge. */
  async owed(): Promise<number | undefined> {
    if (this.#at !== undefined && this.#bridge !== undefined) {
      await this.#sleeper.pause(REPEATS_MS, (now) => (this.#wake = now));
    }
    return this.#at;
  }

  /** Everything was brought up to date by other means. */
  settled(): void {
    this.#at = undefined;
  }
}
