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
  #length = 0;
  /** A batch was written in part and has to be cut off before the next. */
  #torn = false;

  constructor(path: LogPath) {
    this.#path = path;
  }

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  position(): TargetPosition {
    return { ino: String(this.#ino), length: this.#length };
  }

  /**
   * Opens the file at the path. With the position of an earlier process, what that one wrote after
   * saving it is cut off, in the file's new name too if the kubelet had renamed it.
   */
  async open(saved?: TargetPosition): Promise<void> {
    const file = await openLogFile(this.#path);
    try {
      const found = await file.stat({ bigint: true });
      this.#ino = found.ino;
      this.#length = Number(found.size);
      if (saved !== undefined && String(found.ino) !== saved.ino) await this.#cutRenamed(saved);
      else if (saved !== undefined && this.#length > saved.length) {
        await file.truncate(saved.length);
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
    this.#torn = true;
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
    this.#torn = false;
    this.#length += bytes.length;
  }

  /**
   * A new handle at the path; the old file gets no byte after this. When it throws the old one is
   * still in use: the kubelet then renames it back to the path.
   */
  async reopen(): Promise<void> {
    const old = this.#file;
    if (old !== undefined) await this.#repair(old);
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
    if ((await file.stat()).size > this.#length) await file.truncate(this.#length);
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
