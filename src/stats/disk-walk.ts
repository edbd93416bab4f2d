import { lstat, opendir } from "node:fs/promises";
import type { Dir } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";

export interface DiskUse {
  /** Blocks on disk, each file once however many names it has; as `du` counts. */
  usedBytes: bigint;
  inodesUsed: bigint;
}

/** Names asked of the kernel at once; a folder of a million files is never held as a whole. */
const bufferSize = 128;

/**
 * One walk through a folder that can be put aside and taken up again. One file is looked at after
 * another, so it never holds more than one of the four threads that all file access shares.
 */
export class DiskWalk {
  readonly #root: string;
  readonly #open: { path: string; dir: Dir }[] = [];
  /** Inodes with several names, seen already. */
  readonly #linked = new Set<string>();
  #blocks = 0n;
  #inodes = 0n;
  #device: number | undefined;
  #started = false;
  /** Milliseconds of work so far. */
  workedMs = 0;

  constructor(root: string) {
    this.#root = root;
  }

  get inodes(): bigint {
    return this.#inodes;
  }

  result(): DiskUse {
    return { usedBytes: this.#blocks * 512n, inodesUsed: this.#inodes };
  }

  /** Works for about `budgetMs`; true when everything was seen. Throws ENOENT for a root that is gone. */
  async step(budgetMs: number): Promise<boolean> {
    const startMs = performance.now();
    try {
      if (!this.#started) {
        this.#started = true;
        if (await this.#look(this.#root)) await this.#enter(this.#root);
      }
      while (this.#open.length > 0) {
        await this.#next();
        if (performance.now() - startMs > budgetMs) return this.#open.length === 0;
      }
      return true;
    } finally {
      this.workedMs += performance.now() - startMs;
    }
  }

  async close(): Promise<void> {
    for (const { dir } of this.#open.splice(0)) await dir.close().catch(() => undefined);
  }

  async #next(): Promise<void> {
    const top = this.#open.at(-1);
    if (top === undefined) return;
    const entry = await top.dir.read();
    if (entry === null) {
      this.#open.pop();
      await top.dir.close();
      return;
    }
    const path = join(top.path, entry.name);
    try {
      if (await this.#look(path)) await this.#enter(path);
    } catch (error) {
      // Removed since its folder was read: the container lives.
      if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
  }

  /** Counts one name; true for a folder to go into. */
  async #look(path: string): Promise<boolean> {
    const found = await lstat(path);
    this.#device ??= found.dev;
    // Something mounted inside is not the layer's.
    if (found.dev !== this.#device) return false;
    if (found.nlink > 1 && !found.isDirectory()) {
      const key = String(found.ino);
      if (this.#linked.has(key)) return false;
      this.#linked.add(key);
    }
    this.#blocks += BigInt(found.blocks);
    this.#inodes += 1n;
    return found.isDirectory();
  }

  async #enter(path: string): Promise<void> {
    this.#open.push({ path, dir: await opendir(path, { bufferSize }) });
  }
}
