import type { FileHandle } from "node:fs/promises";
import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { isErrno } from "../sys/fs.ts";
import { openLogFile, openLogFolder, within, type LogPath } from "./log-path.ts";
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
  /** A batch was written in part and has to be cut off before the next. */
  #torn = false;

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
   * Opens the file at the path. With the position of an earlier process, what that one wrote after
   * saving it is expected again, so that whoever reads the log sees no line twice; where the kubelet had
   * renamed the file, it is cut off.
   */
  async open(saved?: TargetPosition): Promise<void> {
    const file = await openLogFile(this.#path);
    try {
      const found = await file.stat({ bigint: true });
      this.#ino = found.ino;
      this.#device = found.dev;
      this.#length = Number(found.size);
      this.#ahead = 0;
      if (saved !== undefined && String(found.ino) !== saved.ino) await this.#cutRenamed(saved);
      else if (saved !== undefined && this.#length > saved.length) {
        this.#ahead = this.#length - saved.length;
        this.#length = saved.length;
      }
      this.#torn = false;
      this.#file = file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** All of `bytes` or, when it throws, nothing that a later append would leave in the file. */
  async append(bytes: Buffer): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new Error("container log is closed");
    await this.#repair(file);
    const there = await this.#alreadyThere(file, bytes);
    this.#torn = there < bytes.length;
    for (let done = there; done < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
    this.#torn = false;
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
    if (!this.#torn) return;
    const whole = this.#length + this.#ahead;
    if ((await file.stat()).size > whole) await file.truncate(whole);
    this.#torn = false;
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
