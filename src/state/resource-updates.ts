import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { ensurePrivateFolder, unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";
import { OwedRemovals } from "../sys/owed-removals.ts";

const idPattern = /^[0-9a-f]{64}$/;
/** What writeFileAtomic leaves when it is killed. */
const unfinished = /^\.[0-9a-f]{64}\.[0-9a-f]+\.tmp$/;

/**
 * Resources as UpdateContainerResources last asked for them: Docker's labels cannot be changed after
 * create, and its own fields hold only a part. One small file for each resized container, opaque
 * bytes inside.
 */
export class ResourceUpdates {
  readonly #folder: string;
  readonly #known = new Map<string, Uint8Array>();
  readonly #removals = new OwedRemovals();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * A file that cannot be read is logged and counts as none: the container keeps what is in force. What is not known
   * here may be another version's and stays.
   */
  static async open(stateDir: string, log: Logger): Promise<ResourceUpdates> {
    const folder = join(stateDir, "resources");
    await ensurePrivateFolder(folder);
    const updates = new ResourceUpdates(folder);
    for (const file of await readdir(folder)) {
      const path = join(folder, file);
      try {
        if (idPattern.test(file)) updates.#known.set(file, await readFile(path));
        else if (unfinished.test(file)) await unlinkIfExists(path);
      } catch (error) {
        log.warn({ path, error: errorText(error) }, "saved resources cannot be read");
      }
    }
    return updates;
  }

  get(containerId: string): Uint8Array | undefined {
    return this.#known.get(containerId);
  }

  async save(containerId: string, resources: Uint8Array): Promise<void> {
    const path = join(this.#folder, containerId);
    await writeFileAtomic(path, resources);
    this.#removals.keep(path);
    this.#known.set(containerId, resources);
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
