import { createHash } from "node:crypto";
import { readFile, readdir, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Logger } from "../log.ts";
import { errorText } from "../errors.ts";
import {
  ensurePrivateFolder,
  isErrno,
  namesIn,
  readTextIfExists,
  unlinkIfExists,
  writeFileAtomic,
} from "../sys/fs.ts";
import { isRunning, readProcess } from "../sys/process-tree.ts";
import { parseStored } from "./sandbox-records.ts";

const defaultFolder = "/run/dockline-netns";

/** One Dockline: where its records are, and the process that said so last. */
interface Owner {
  stateDir: string;
  pid: number;
  startTicks: string;
}

/**
 * The state folders of all Docklines of this machine that make network namespaces, one small file for each. The
 * namespaces of all of them lie in one folder, and none may take another one's away.
 */
export class NetnsOwners {
  readonly #folder: string;
  readonly #stateDir: string;
  readonly #log: Logger;
  #added: Promise<void> | undefined;

  /** Nothing is written yet. */
  constructor(stateDir: string, log: Logger, folder = defaultFolder) {
    this.#folder = folder;
    this.#stateDir = resolve(stateDir);
    this.#log = log;
  }

  /** Before the first namespace is made. */
  async add(): Promise<void> {
    this.#added ??= (async () => {
      await ensurePrivateFolder(this.#folder);
      const startTicks = readProcess(process.pid)?.startTicks ?? "";
      const owner: Owner = {
        stateDir: this.#stateDir,
        pid: process.pid,
        startTicks,
      };
      await writeFileAtomic(this.#own, JSON.stringify(owner), 0o600, false);
    })();
    try {
      await this.#added;
    } catch (error) {
      this.#added = undefined;
      throw error;
    }
  }

  get #own(): string {
    const hash = createHash("sha256").update(this.#stateDir).digest("hex").slice(0, 32);
    return join(this.#folder, hash);
  }

  /**
   * Paths in the records of all of them. The entry of a state folder that is gone, with its process, goes as well.
   *
   * @throws Error when some record cannot be read: then nobody knows whose a namespace is
   */
  async recorded(): Promise<Set<string>> {
    const paths = new Set<string>();
    await addRecorded(paths, join(this.#stateDir, "sandboxes"));
    for (const name of await namesIn(this.#folder)) {
      if (!/^[0-9a-f]{32}$/.test(name)) continue;
      const entry = join(this.#folder, name);
      const text = await readTextIfExists(entry);
      if (text === undefined) continue;
      const owner = JSON.parse(text) as Owner;
      if (await addRecorded(paths, join(owner.stateDir, "sandboxes"))) continue;
      // One that lives may see a folder that this process does not.
      if (isRunning(owner)) {
        throw new Error(
          `the records of process ${owner.pid} in ${owner.stateDir} are not to be seen`,
        );
      }
      await unlinkIfExists(entry);
    }
    return paths;
  }

  /** At the end: with no namespace in use there is nothing that others must know. */
  async close(inUse: boolean): Promise<void> {
    if (inUse) return;
    try {
      await unlinkIfExists(this.#own);
      await rmdir(this.#folder);
    } catch (error) {
      if (isErrno(error, "ENOTEMPTY", "ENOENT")) return;
      this.#log.warn({ error: errorText(error) }, `${this.#own} could not be removed`);
    }
  }
}

/** False when there is no such folder. A damaged record is nobody's, one of a newer version may be anybody's. */
async function addRecorded(paths: Set<string>, folder: string): Promise<boolean> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
  for (const name of names.filter((entry) => entry.endsWith(".json"))) {
    let text: string;
    try {
      text = await readFile(join(folder, name), "utf8");
    } catch (error) {
      // Removed with its pod meanwhile.
      if (isErrno(error, "ENOENT")) continue;
      throw error;
    }
    const record = parseStored(text);
    if (record === "newer") throw new Error(`${join(folder, name)} is of a newer version`);
    if (record?.ownNetns !== undefined) paths.add(record.ownNetns);
  }
  return true;
}
