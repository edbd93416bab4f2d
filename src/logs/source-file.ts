import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statSync,
  type BigIntStats,
} from "node:fs";
import { isErrno } from "../sys/fs.ts";
import type { SourcePosition } from "./position.ts";

/** One of Docker's files for a container, held open so that rotation cannot take it away. */
export interface SourceFile {
  /** Its descriptor. */
  fd: number;
  ino: bigint;
  /** When it was made, nanoseconds; 0 on file systems that do not say. */
  bornNs: bigint;
  offset: number;
  size: number;
  mark: Buffer;
  /** Bytes at least that are missing before this file; undefined when none are. */
  missing: number | undefined;
}

export function statIfExists(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

export function openSource(path: string): SourceFile | undefined {
  let fd: number;
  try {
    fd = openSync(
      path,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOATIME,
    );
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  try {
    const { ino, size, birthtimeNs } = fstatSync(fd, { bigint: true });
    return {
      fd,
      ino,
      bornNs: birthtimeNs,
      offset: 0,
      size: Number(size),
      mark: Buffer.alloc(0),
      missing: undefined,
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export function closeAll(files: readonly SourceFile[]): void {
  for (const { fd } of files) closeSync(fd);
}

/** Size of the smallest file that was rotated; 0 when none was. */
export function leastRotated(files: SourceFile[]): number {
  const rotated = files.slice(0, -1).map((file) => file.size);
  return rotated.length === 0 ? 0 : Math.min(...rotated);
}

/** True when the position is in this file: its inode number alone may have been given away again. */
export function isAt(file: SourceFile, wanted: SourcePosition): boolean {
  if (String(file.ino) !== wanted.ino) return false;
  // It may have grown since its size was read.
  if (file.size < wanted.offset && fstatSync(file.fd).size < wanted.offset) return false;
  const { born = "0" } = wanted;
  if (born !== "0" && file.bornNs !== 0n && born !== String(file.bornNs)) return false;
  const mark = Buffer.from(wanted.mark, "base64");
  if (mark.length > wanted.offset) return false;
  const found = Buffer.alloc(mark.length);
  const bytesRead = readSync(file.fd, found, 0, found.length, wanted.offset - mark.length);
  return bytesRead === mark.length && found.equals(mark);
}
