import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { ensurePrivateFolder, unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";
import { OwedRemovals } from "../sys/owed-removals.ts";

const idPattern = /^[0-9a-f]{64}$/;
/** What writeFileAtomic leaves when it is killed. */
const unfinished = /^\.[0-9a-f]{64}\.[0-9a-f]+\.tmp$/;

/** What is in a file. */
export interface FileForm<T> {
  /** @throws for what is damaged */
  read(bytes: Uint8Array): T;
  write(value: T): string | Uint8Array;
}

/** Something that is kept for some containers, one small file for each, all of them in memory as well. */
export class ContainerFiles<T> {
  readonly #folder: string;
  readonly #form: FileForm<T>;
  readonly #known = new Map<string, T>();
  readonly #removals = new OwedRemovals();

  protected constructor(folder: string, form: FileForm<T>) {
    this.#folder = folder;
    this.#form = form;
  }

  /**
   * A file that cannot be read is logged and counts as none. What is not known here may be another version's and
   * stays.
   */
  protected async load(log: Logger, failure: string): Promise<this> {
    await ensurePrivateFolder(this.#folder);
    for (const file of await readdir(this.#folder)) {
      const path = join(this.#folder, file);
      try {
        if (idPattern.test(file)) this.#known.set(file, this.#form.read(await readFile(path)));
        else if (unfinished.test(file)) await unlinkIfExists(path);
      } catch (error) {
        log.warn({ path, error: errorText(error) }, failure);
      }
    }
    return this;
  }

  get(containerId: string): T | undefined {
    return this.#known.get(containerId);
  }

  /** @throws what the disk says; nothing is saved then */
  async save(containerId: string, value: T): Promise<void> {
    const path = join(this.#folder, containerId);
    await writeFileAtomic(path, this.#form.write(value));
    this.#removals.keep(path);
    this.#known.set(containerId, value);
  }

  async delete(containerId: string): Promise<void> {
    if (!this.#known.delete(containerId)) return;
    await this.#removals.remove(join(this.#folder, containerId));
  }

  /** Drops what belongs to containers that are gone. */
  async keepOnly(exists: (containerId: string) => boolean): Promise<void> {
    for (const id of [...this.#known.keys()]) if (!exists(id)) await this.delete(id);
  }
}
