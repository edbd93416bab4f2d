import { FolderWatch } from "./folder-watch.ts";
import type { Pump } from "./pump.ts";

/** Events between two looks from which on polling is the cheaper way. */
const BUSY_EVENTS = 32;
/** Longest wait before an operation that failed is tried again. */
const MOST_BACKOFF_MS = 5000;
const FIRST_BACKOFF_MS = 100;

/** One container's pump with what decides when it is to run next. */
export class Follower {
  readonly pump: Pump;
  readonly watch: FolderWatch;
  /** A round is under way or waits for a workspace. */
  running = false;
  closed = false;
  /** Monotonic time of the last round's end. */
  lastLookMs = Number.NEGATIVE_INFINITY;
  /** Monotonic time before which a failing pump is left alone. */
  notBeforeMs = Number.NEGATIVE_INFINITY;
  /** Consecutive failed rounds. */
  failures = 0;
  /** Events since the last look. */
  events = 0;
  /** Looks through the positions that passed this one by. */
  unsavedRounds = 0;

  constructor(pump: Pump, onEvent: (follower: Follower) => void) {
    this.pump = pump;
    this.watch = new FolderWatch(pump.target.sourcePath, () => {
      this.events += 1;
      // A container that prints much would otherwise cost a callback for each line.
      if (this.events === BUSY_EVENTS) this.watch.turnOff();
      onEvent(this);
    });
  }

  failed(nowMs: number): void {
    this.failures += 1;
    const backoffMs = FIRST_BACKOFF_MS * 2 ** Math.min(this.failures - 1, 10);
    this.notBeforeMs = nowMs + Math.min(backoffMs, MOST_BACKOFF_MS);
  }

  succeeded(): void {
    this.failures = 0;
    this.notBeforeMs = Number.NEGATIVE_INFINITY;
  }
}
