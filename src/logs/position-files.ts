import { readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import { asPosition, type Position } from "./position.ts";

const SUFFIX = ".json";
/** Of one that was being written. */
const HALF_SUFFIX = `${SUFFIX}.tmp`;

/**
 * The positions that older releases kept, a file for each container. Where there is one, it is newer than the
 * journal: an older release has run since, as each start of this one removes them. Undefined: it cannot be read.
 */
export function readPositionFiles(folder: string): Map<string, Position | undefined> {
  const positions = new Map<string, Position | undefined>();
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(SUFFIX)) continue;
    positions.set(name.slice(0, -SUFFIX.length), parse(readFileSync(join(folder, name), "utf8")));
  }
  return positions;
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
