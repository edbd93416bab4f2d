import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { ensurePrivateFolder, unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";
import { OwedRemovals } from "../sys/owed-removals.ts";

const idPattern = /^[0-9a-f]{64}$/;
/** What writeFileAtomic leaves when it is killed. */
const unfinished = /^\.[0-9a-f]{64}\.[0-9a-f]+\.tmp$/;

/** What NRI plugins said of one container at its create. Plain JSON; may hold secrets. */
export interface SavedAdjustment {
  /** Names of those that were asked. */
  readonly plugins: readonly string[];
  /** How it is carried out; undefined when nothing was asked for. Opaque here. */
  readonly plan?: object;
  /** False as long as what Docker must be informed of it may not have been informed. */
  readonly applied: boolean;
}

/**
 * One file for each container whose create NRI plugins were asked about. It is what tells such a container from one
 * that a process killed in the middle left behind.
 */
export class NriAdjustments {
  readonly #folder: string;
  readonly #known = new Map<string, SavedAdjustment>();
  readonly #removals = new OwedRemovals();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** A file that cannot be read, or is damaged, counts as none: its container is not started. */
  static async open(stateDir: string, log: Logger): Promise<NriAdjustments> {
    const folder = join(stateDir, "nri");
    await ensurePrivateFolder(folder);
    const adjustments = new NriAdjustments(folder);
    for (const file of await readdir(folder)) {
      const path = join(folder, file);
      try {
        if (idPattern.test(file)) {
          adjustments.#known.set(file, parse(await readFile(path, "utf8")));
        } else if (unfinished.test(file)) await unlinkIfExists(path);
      } catch (error) {
        log.warn({ path, error: errorText(error) }, "what NRI plugins said cannot be read");
      }
    }
    return adjustments;
  }

  get(containerId: string): SavedAdjustment | undefined {
    return this.#known.get(containerId);
  }

  /** @throws what the disk says; nothing is saved then */
  async save(containerId: string, adjustment: SavedAdjustment): Promise<void> {
    const path = join(this.#folder, containerId);
    const text = JSON.stringify(adjustment);
    await writeFileAtomic(path, `${sumOf(text)}\n${text}`);
    this.#removals.keep(path);
    this.#known.set(containerId, adjustment);
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

const sumOf = (text: string): string => createHash("sha256").update(text).digest("hex");

function parse(file: string): SavedAdjustment {
  const end = file.indexOf("\n");
  const text = file.slice(end + 1);
  if (end < 0 || sumOf(text) !== file.slice(0, end)) throw new Error("the file is damaged");
  return JSON.parse(text) as SavedAdjustment;
}
