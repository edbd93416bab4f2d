import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from "node:fs";
import { isErrno } from "../sys/fs.ts";
import { openLogFile, openLogFolder, within, type LogPath } from "./log-path.ts";
import { endOfLines, lastLines, lastRotatedLines, type WrittenLine } from "./log-lines.ts";
import type { TargetPosition } from "./position.ts";

/** The CRI log file, appended to in whole batches. */
export class CriLogFile {
  readonly #path: LogPath;
  #file: number | undefined;
  #ino = 0n;
  /** Of what is written for the source's position. */
  #length = 0;
  /** Bytes after it that a process wrote which was killed before it noted them: they come once more. */
  #ahead = 0;
  /** Bytes of a batch that was written in part and has to be cut off before the next; undefined: none was. */
  #torn: number | undefined;

  constructor(path: LogPath) {
    this.#path = path;
  }

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  /** It was deleted while it was open. */
  isGone(): boolean {
    return this.#file !== undefined && fstatSync(this.#file).nlink === 0;
  }

  position(): TargetPosition {
    return { ino: String(this.#ino), length: this.#length };
  }

  /**
   * Opens the file at the path; with `make`, makes it when it is missing. With the position of an earlier
   * process, what that one wrote after saving it is expected again, so that whoever reads the log sees no line
   * twice; where the kubelet had renamed the file, it is cut off. False when the log has not what that position
   * says, as after a power cut: only its lines tell then where it ends.
   *
   * @throws NotFound without `make`
   */
  open(saved?: TargetPosition, options: { make: boolean } = { make: true }): boolean {
    const file = openLogFile(this.#path, options.make);
    try {
      const found = fstatSync(file, { bigint: true });
      const size = Number(found.size);
      this.#ino = found.ino;
      this.#torn = undefined;
      const isSame = String(found.ino) === saved?.ino;
      const hasAll = isSame && size >= saved.length && endsLine(file, saved.length);
      this.#length = hasAll ? saved.length : endOfLines(file, size);
      this.#ahead = size - this.#length;
      if (saved !== undefined && !isSame && size === 0) this.#cutRenamed(saved);
      this.#file = file;
      // One that somebody emptied, to make room, is not to get its old lines again.
      return saved === undefined || hasAll || size === 0;
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** From now on what is written comes behind the last whole line, whatever was noted. */
  goToLastLine(): void {
    if (this.#file === undefined) return;
    const { size } = fstatSync(this.#file);
    this.#length = endOfLines(this.#file, size);
    this.#ahead = size - this.#length;
  }

  /** The last lines of what is written; where the kubelet has just renamed the full log, of that one. */
  async lastLines(): Promise<WrittenLine[]> {
    if (this.#file === undefined) return [];
    const lines = lastLines(this.#file, this.#length);
    if (lines.some((line) => !line.isGap)) return lines;
    return [...(await lastRotatedLines(this.#path)), ...lines];
  }

  /** All of `bytes` or, when it throws, nothing that a later append would leave in the file. */
  append(bytes: Buffer): void {
    const file = this.#file;
    if (file === undefined) throw new Error("container log is closed");
    this.#repair(file);
    const there = this.#alreadyThere(file, bytes);
    for (let done = there; done < bytes.length;) {
      this.#torn = done - there;
      done += writeSync(file, bytes, done, bytes.length - done, null);
    }
    this.#torn = undefined;
    this.#length += bytes.length;
    this.#ahead -= there;
  }

  /** How much of this is in the file already. Anything else that is there makes room for it. */
  #alreadyThere(file: number, bytes: Buffer): number {
    if (this.#ahead === 0) return 0;
    const count = Math.min(this.#ahead, bytes.length);
    const found = Buffer.alloc(count);
    const bytesRead = readSync(file, found, 0, count, this.#length);
    if (bytesRead === count && found.equals(bytes.subarray(0, count))) return count;
    this.#cutAhead(file);
    return 0;
  }

  /** Nothing more comes of which it could be the beginning. */
  settle(): void {
    if (this.#file !== undefined) this.#cutAhead(this.#file);
  }

  #cutAhead(file: number): void {
    if (this.#ahead === 0) return;
    ftruncateSync(file, this.#length);
    this.#ahead = 0;
  }

  /**
   * A new handle at the path; the old file gets no byte after this. When it throws the old one is
   * still in use: the kubelet then renames it back to the path.
   */
  reopen(): void {
    const old = this.#file;
    if (old !== undefined) {
      this.#repair(old);
      this.#cutAhead(old);
    }
    this.open();
    if (old !== undefined) closeSync(old);
  }

  close(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    try {
      this.#repair(file);
    } finally {
      closeSync(file);
    }
  }

  /** Cuts off the part of a batch that was written before the disk was full. */
  #repair(file: number): void {
    const torn = this.#torn;
    if (torn === undefined) return;
    const whole = this.#length + this.#ahead;
    const { size } = fstatSync(file);
    // Shorter where somebody emptied the log since it was opened: then it is what was there before the batch.
    const isEmptied = size < whole + torn;
    const cut = isEmptied ? Math.max(0, size - torn) : whole;
    if (size > cut) ftruncateSync(file, cut);
    if (isEmptied) {
      this.#length = cut;
      this.#ahead = 0;
    }
    this.#torn = undefined;
  }

  /** The kubelet renames a full log to `<name>.<time>` before it asks for the reopening. */
  #cutRenamed(saved: TargetPosition): void {
    const folder = openLogFolder(this.#path);
    try {
      const prefix = `${this.#path.name}.`;
      const names = readdirSync(within(folder, "."));
      for (const name of names.filter((other) => other.startsWith(prefix))) {
        if (cutIfSame(within(folder, name), saved)) return;
      }
    } finally {
      closeSync(folder);
    }
  }
}

function cutIfSame(path: string, saved: TargetPosition): boolean {
  let file: number;
  try {
    file = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "EISDIR", "ENXIO")) return false;
    throw error;
  }
  try {
    const found = fstatSync(file, { bigint: true });
    if (!found.isFile() || String(found.ino) !== saved.ino) return false;
    if (found.size > BigInt(saved.length)) ftruncateSync(file, saved.length);
    return true;
  } finally {
    closeSync(file);
  }
}

function endsLine(file: number, length: number): boolean {
  if (length === 0) return true;
  const last = Buffer.alloc(1);
  readSync(file, last, 0, 1, length - 1);
  return last[0] === 0x0a;
}
