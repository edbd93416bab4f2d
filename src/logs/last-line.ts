import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { CriError } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import { isGap } from "./format.ts";
import { openLogFolder, within, type LogPath } from "./log-path.ts";
import type { TargetPosition } from "./position.ts";

const NEWLINE = 0x0a;
/** Longer than several lines of Docker's, which are cut at 16 KiB. */
const TAIL_BYTES = 128 * 1024;

/** Where a log ends, by itself. */
export interface LogEnd {
  /** Of the whole lines. */
  target: TargetPosition;
  /** The last one that came from Docker, with its newline; undefined: there is none. */
  line: Buffer | undefined;
}

/** Undefined when there is no such file, or it is none of ours. */
export async function endOfLog(path: LogPath): Promise<LogEnd | undefined> {
  let folder: FileHandle | undefined;
  let file: FileHandle | undefined;
  try {
    folder = await openLogFolder(path, false);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    file = await open(within(folder, path.name), flags);
    const found = await file.stat({ bigint: true });
    if (!found.isFile()) return undefined;
    const size = Number(found.size);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const { bytesRead } = await file.read(tail, 0, tail.length, size - tail.length);
    const read = tail.subarray(0, bytesRead);
    const end = read.lastIndexOf(NEWLINE) + 1;
    const target = { ino: String(found.ino), length: size - tail.length + end };
    return { target, line: lastOfDocker(read.subarray(0, end)) };
  } catch (error) {
    const isNone = error instanceof CriError && /^(NotFound|InvalidArgument)$/.test(error.kind);
    if (isNone || isErrno(error, "ENOENT", "ELOOP", "EISDIR", "ENXIO")) return undefined;
    throw error;
  } finally {
    await file?.close();
    await folder?.close();
  }
}

function lastOfDocker(lines: Buffer): Buffer | undefined {
  for (let end = lines.length; end > 0;) {
    const start = end < 2 ? 0 : lines.lastIndexOf(NEWLINE, end - 2) + 1;
    const line = lines.subarray(start, end);
    if (!isGap(line)) return Buffer.from(line);
    end = start;
  }
  return undefined;
}

/** Where the lines after this one begin; undefined when it is not among them. */
export function behindLine(lines: Buffer, line: Buffer): number | undefined {
  for (let at = lines.indexOf(line); at >= 0; at = lines.indexOf(line, at + 1)) {
    if (at === 0 || lines[at - 1] === NEWLINE) return at + line.length;
  }
  return undefined;
}
