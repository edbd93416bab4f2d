import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { ConvertCounts } from "./parse.ts";
import type { PositionJournal, Touch } from "./position-journal.ts";

/**
 * Source bytes after which the position is saved at once. What a killed process had not saved has
 * to be read again and must still be in Docker's few files then.
 */
export const UNSAVED_BYTES = 4 * 1024 * 1024;

export interface PumpDeps {
  clock: Clock;
  log: Logger;
  positions: PositionJournal;
  counts: PumpCounts;
  /** Bytes of files that Docker deleted and a slow pump still holds. */
  mostUnlinkedBytes: number;
  touch: Touch;
}

/** Sums over all containers. */
export interface PumpCounts extends ConvertCounts {
  pumpedBytes: bigint;
  lostBytes: bigint;
}

/** What a round did. */
export interface Round {
  /** Source bytes dealt with. */
  bytes: number;
  /** Nothing was left to read at some moment of the round. */
  atEnd: boolean;
  /** Docker had made a new file since the last round. */
  rotated: boolean;
}
