import { readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import { asPosition, type Position } from "./position.ts";

const SUFFIX = ".json";
/** Of one that was being written. */
const HALF_SUFFIX = `${SUFFIX}.tmp`;

/**
 * Positions as older releases keep them, a file for each container. Where there is one, it is as new as the journal
 * or newer: the last end of this release wrote it, or an older release has run since. Undefined: it cannot be read.
 */
export function readPositionFiles(folder: string): Map<string, Position | undefined> {
  const positions = new Map<string, Position | undefined>();
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(SUFFIX)) continue;
    positions.set(name.slice(0, -SUFFIX.length), parse(readFileSync(join(folder, name), "utf8")));
  }
  return positions;
}

/** For an older release that may come next. Old or new content is there at every moment. */
export function writePositionFiles(folder: string, positions: ReadonlyMap<string, Position>): void {
  for (const [id, position] of positions) {
    const temporary = join(folder, id + HALF_SUFFIX);
    writeFileSync(temporary, JSON.stringify({ v: 1, ...position }), { mode: 0o600 });
    renameSync(temporary, join(folder, id + SUFFIX));
  }
}

export function removePositionFiles(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(SUFFIX) && !name.endsWith(HALF_SUFFIX)) continue;
    try {
      unlinkSync(join(folder, name));
    } catch (error) {
      // On a disk that became read-only they say what the journal says.
      if (!isErrno(error, "ENOENT", "EROFS", "EIO")) throw error;
    }
  }
}

function parse(text: string): Position | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return (Object(value) as { v?: unknown }).v === 1 ? asPosition(value) : undefined;
  } catch {
    return undefined;
  }
}
