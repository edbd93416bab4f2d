import type { FileHandle } from "node:fs/promises";
import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { isErrno } from "../sys/fs.ts";
import { openLogFile, openLogFolder, within, type LogPath } from "./log-path.ts";
import { endOfLines, lastLines, lastRotatedLines, type WrittenLine } from "./log-lines.ts";
import type { TargetPosition } from "./position.ts";

/** The CRI log file, appended to in whole batches. */
export class CriLogFile {
  readonly #path: LogPath;
  #file: FileHandle | undefined;
  #ino = 0n;
  #device = 0n;
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

  /** st_dev of the file that was opened last. */
  get device(): bigint {
    return this.#device;
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
  async open(
    saved?: TargetPosition,
    options: { make: boolean } = { make: true },
  ): Promise<boolean> {
    const file = await openLogFile(this.#path, options.make);
    try {
      const found = await file.stat({ bigint: true });
      const size = Number(found.size);
      this.#ino = found.ino;
      this.#device = found.dev;
      this.#torn = undefined;
      const isSame = String(found.ino) === saved?.ino;
      const hasAll = isSame && size >= saved.length && (await endsLine(file, saved.length));
      this.#length = hasAll ? saved.length : await endOfLines(file, size);
      this.#ahead = size - this.#length;
      if (saved !== undefined && !isSame && size === 0) await this.#cutRenamed(saved);
      this.#file = file;
      // One that somebody emptied, to make room, is not to get its old lines again.
      return saved === undefined || hasAll || size === 0;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** From now on what is written comes behind the last whole line, whatever was noted. */
  async goToLastLine(): Promise<void> {
    if (this.#file === undefined) return;
    const { size } = await this.#file.stat();
    this.#length = await endOfLines(this.#file, size);
    this.#ahead = size - this.#length;
  }

  /** The last lines of what is written; where the kubelet has just renamed the full log, of that one. */
  async lastLines(): Promise<WrittenLine[]> {
    if (this.#file === undefined) return [];
    const lines = await lastLines(this.#file, this.#length);
    if (lines.some((line) => !line.isGap)) return lines;
    return [...(await lastRotatedLines(this.#path)), ...lines];
  }

  /** All of `bytes` or, when it throws, nothing that a later append would leave in the file. */
  async append(bytes: Buffer): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new Error("container log is closed");
    await this.#repair(file);
    const there = await this.#alreadyThere(file, bytes);
    for (let done = there; done < bytes.length;) {
      this.#torn = done - there;
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
    this.#torn = undefined;
    this.#length += bytes.length;
    this.#ahead -= there;
  }

  /** How much of this is in the file already. Anything else that is there makes room for it. */
  async #alreadyThere(file: FileHandle, bytes: Buffer): Promise<number> {
    if (this.#ahead === 0) return 0;
    const count = Math.min(this.#ahead, bytes.length);
    const found = Buffer.alloc(count);
    const { bytesRead } = await file.read(found, 0, count, this.#length);
    if (bytesRead === count && found.equals(bytes.subarray(0, count))) return count;
    await this.#cutAhead(file);
    return 0;
  }

  /** Nothing more comes of which it could be the beginning. */
  async settle(): Promise<void> {
    if (this.#file !== undefined) await this.#cutAhead(this.#file);
  }

  async #cutAhead(file: FileHandle): Promise<void> {
    if (this.#ahead === 0) return;
    await file.truncate(this.#length);
    this.#ahead = 0;
  }

  /**
   * A new handle at the path; the old file gets no byte after this. When it throws the old one is
   * still in use: the kubelet then renames it back to the path.
   */
  async reopen(): Promise<void> {
    const old = this.#file;
    if (old !== undefined) {
      await this.#repair(old);
      await this.#cutAhead(old);
    }
    await this.open();
    await old?.close();
  }

  async close(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    try {
      await this.#repair(file);
    } finally {
      await file.close();
    }
  }

  /** Cuts off the part of a batch that was written before the disk was full. */
  async #repair(file: FileHandle): Promise<void> {
    const torn = this.#torn;
    if (torn === undefined) return;
    const whole = this.#length + this.#ahead;
    const { size } = await file.stat();
    // Shorter where somebody emptied the log since it was opened: then it is what was there before the batch.
    const isEmptied = size < whole + torn;
    const cut = isEmptied ? Math.max(0, size - torn) : whole;
    if (size > cut) await file.truncate(cut);
    if (isEmptied) {
      this.#length = cut;
      this.#ahead = 0;
    }
    this.#torn = undefined;
  }

  /** The kubelet renames a full log to `<name>.<time>` before it asks for the reopening. */
  async #cutRenamed(saved: TargetPosition): Promise<void> {
    const folder = await openLogFolder(this.#path);
    try {
      const prefix = `${this.#path.name}.`;
      const names = await readdir(within(folder, "."));
      for (const name of names.filter((other) => other.startsWith(prefix))) {
        if (await cutIfSame(within(folder, name), saved)) return;
      }
    } finally {
      await folder.close();
    }
  }
}

async function cutIfSame(path: string, saved: TargetPosition): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "EISDIR", "ENXIO")) return false;
    throw error;
  }
  try {
    const found = await file.stat({ bigint: true });
    if (!found.isFile() || String(found.ino) !== saved.ino) return false;
    if (found.size > BigInt(saved.length)) await file.truncate(saved.length);
    return true;
  } finally {
    await file.close();
  }
}

async function endsLine(file: FileHandle, length: number): Promise<boolean> {
  if (length === 0) return true;
  const last = Buffer.alloc(1);
  await file.read(last, 0, 1, length - 1);
  return last[0] === 0x0a;
}
