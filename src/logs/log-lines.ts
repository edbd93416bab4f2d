import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
} from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { CriError } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import { isGap, readLine, type LogStream } from "./format.ts";
import { openLogFolder, within, type LogPath } from "./log-path.ts";

const NEWLINE = 0x0a;
const BLOCK_BYTES = 128 * 1024;
/** Longer than several lines of Docker's, which are cut at 16 KiB. */
const TAIL_BYTES = 128 * 1024;
/** The parts of one long line have one time; so much of them is looked at. */
const MOST_TAIL_BYTES = 8 * 1024 * 1024;
/** Kept of a compressed file while it is read through; it may become twice as much. */
const MOST_COMPRESSED_TAIL_BYTES = 1024 * 1024;

/** A line that is in a log. */
export interface WrittenLine {
  /** Byte for byte as latin1, without the newline. */
  text: string;
  timeNs: bigint;
  stream: LogStream;
  /** Our own, that lines are missing there; none of Docker's. */
  isGap: boolean;
}

/** Bytes up to and with the last newline: what follows is half a line, or the NULs that a power cut left. */
export function endOfLines(file: number, size: number): number {
  const block = Buffer.allocUnsafe(Math.min(size, BLOCK_BYTES));
  for (let end = size; end > 0;) {
    const from = Math.max(0, end - block.length);
    const bytesRead = readSync(file, block, 0, end - from, from);
    const at = block.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (at >= 0) return from + at + 1;
    end = from;
  }
  return 0;
}

/**
 * The last lines before `end`, oldest first. They go back to a line of another time than the last one's, so
 * that the number of lines of one time is known.
 */
export function lastLines(file: number, end: number): WrittenLine[] {
  for (let wanted = TAIL_BYTES; ; wanted *= 8) {
    const bytes = Buffer.alloc(Math.min(end, wanted));
    const bytesRead = readSync(file, bytes, 0, bytes.length, end - bytes.length);
    const lines = linesOf(bytes.subarray(0, bytesRead), bytes.length < end);
    if (bytes.length === end || wanted >= MOST_TAIL_BYTES || !isOfOneTime(lines)) return lines;
  }
}

function isOfOneTime(lines: WrittenLine[]): boolean {
  const last = lines.at(-1);
  return lines.every((line) => line.timeNs === last?.timeNs);
}

/** Whole lines; text that is none of a CRI log is passed over. */
function linesOf(bytes: Buffer, isCut: boolean): WrittenLine[] {
  const texts = bytes
    .toString("latin1")
    .split("\n")
    .slice(isCut ? 1 : 0, -1);
  return texts.flatMap((text) => {
    const behindNuls = text.lastIndexOf("\0") + 1;
    return [...lineOf(text), ...(behindNuls > 0 ? lineOf(text.slice(behindNuls)) : [])];
  });
}

function lineOf(text: string): WrittenLine[] {
  const read = readLine(text);
  return read === undefined ? [] : [{ text, ...read, isGap: isGap(text) }];
}

/** `<log>.<time>` is what the kubelet renames a full log to; it compresses it when the next one is full. */
const ROTATED = /^\d{8}-\d{6}(?:\.gz)?$/;

/** The last lines of the newest file that the kubelet renamed and that has any; none: there is none. */
export async function lastRotatedLines(path: LogPath): Promise<WrittenLine[]> {
  let folder: number;
  try {
    folder = openLogFolder(path, false);
  } catch (error) {
    if (error instanceof CriError && error.kind === "NotFound") return [];
    throw error;
  }
  try {
    const prefix = `${path.name}.`;
    const names = readdirSync(within(folder, "."))
      .filter((name) => name.startsWith(prefix) && ROTATED.test(name.slice(prefix.length)))
      .sort()
      .reverse();
    for (const name of names) {
      const lines = await linesOfRotated(within(folder, name), name.endsWith(".gz"));
      if (lines.some((line) => !line.isGap)) return lines;
    }
    return [];
  } finally {
    closeSync(folder);
  }
}

async function linesOfRotated(path: string, isCompressed: boolean): Promise<WrittenLine[]> {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "ENXIO")) return [];
    throw error;
  }
  try {
    const found = fstatSync(file);
    if (!found.isFile()) return [];
    if (isCompressed) return await linesOfCompressed(file);
    return lastLines(file, endOfLines(file, found.size));
  } finally {
    closeSync(file);
  }
}

/** Of a file that is damaged: none. */
async function linesOfCompressed(file: number): Promise<WrittenLine[]> {
  let tail: Buffer[] = [];
  let isCut = false;
  try {
    await pipeline(
      createReadStream("", { fd: file, autoClose: false }),
      createGunzip(),
      async (chunks: AsyncIterable<Buffer>) => {
        let older: Buffer[] = [];
        let bytes = 0;
        for await (const chunk of chunks) {
          tail.push(chunk);
          bytes += chunk.length;
          if (bytes < MOST_COMPRESSED_TAIL_BYTES) continue;
          isCut ||= older.length > 0;
          older = tail;
          tail = [];
          bytes = 0;
        }
        tail = [...older, ...tail];
      },
    );
  } catch {
    return [];
  }
  return linesOf(Buffer.concat(tail), isCut);
}
