/*
 * src/state: what must survive a restart and Docker cannot keep: small files, each written whole.
 * Not here: what can be asked of Docker again, and decisions about what is read.
 */
import { createHash } from "node:crypto";
import { readFile, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { AskedName } from "../convert/names.ts";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import type { Logger } from "../log.ts";
import { ensurePrivateFolder, unlinkIfExists, writeFileAtomic } from "../sys/fs.ts";
import { OwedRemovals } from "../sys/owed-removals.ts";

/**
 * How far a sandbox has come. Written before the effect it announces, so that any kill in between is
 * followed by a start that knows what may be there.
 */
export type SandboxPhase =
  /** The pause container may or may not exist under `name`. */
  | "creating"
  /** It exists (id known) and may run; no CNI ADD was tried yet. */
  | "created"
  /** ADD was or is about to be tried: DEL is owed. */
  | "networking"
  /** RunPodSandbox succeeded. */
  | "ready"
  /** StopPodSandbox began; `network` is still there while DEL is owed. */
  | "stopping"
  /** Stopped, DEL done. */
  | "stopped";

/** One run of a pause container, with the network namespace that it has. */
export interface PauseRun {
  readonly pid: number;
  /** As Docker tells it: a container that is started again has another one. */
  readonly startedAt: string;
  readonly netnsInode: string;
}

/** What Docker cannot hold for one sandbox. Plain JSON; 64-bit numbers as decimal text. */
export interface SandboxRecord {
  readonly name: AskedName;
  readonly id?: string;
  readonly phase: SandboxPhase;
  readonly configHash: string;
  readonly hostNetwork: boolean;
  /** PodSandboxConfig, protobuf bytes in base64: what a lost pause container is still listed from. */
  readonly config: string;
  readonly runtimeHandler: string;
  readonly createdAtNs: string;
  /** Path of the network namespace, all that earlier releases look at: Docker's bind mount, or `ownNetns`. */
  readonly netns?: string;
  /** Path of the network namespace that Dockline makes for the pod; it may not exist yet, or any more. */
  readonly ownNetns?: string;
  /** The run that CNI ADD was for; missing in records of earlier releases. */
  readonly pauseRun?: PauseRun;
  /** The CNI attachment as network/ wrote it; opaque here. Present while DEL is owed. */
  readonly network?: object;
  /** Addresses from ADD, first is the primary one. */
  readonly ips: readonly string[];
  /** Why the last CNI DEL failed; missing when none did. */
  readonly delFailure?: string;
  /** UpdatePodSandboxResources: overhead and resources as last asked, protobuf bytes in base64. */
  readonly updatedResources?: { overhead?: string; resources?: string };
}

interface Stored {
  version: 1;
  checksum: string;
  record: SandboxRecord;
}

/**
 * One file for each sandbox under `<state dir>/sandboxes`, written atomically with a checksum; all
 * of them are in memory as well. A damaged file is put aside as `*.corrupt` and reported: Docker's own
 * data still allows Stop and Remove. A file of a newer version, and one that cannot be read now, is left
 * as it is, for a start that can read it: it knows what CNI owes.
 */
export class SandboxRecords {
  readonly #folder: string;
  readonly #byName = new Map<AskedName, SandboxRecord>();
  readonly #nameOfId = new Map<string, AskedName>();
  readonly #log: Logger;
  readonly #removals = new OwedRemovals();
  /** Files that are not to be touched, and why. */
  readonly #leftAlone = new Map<string, string>();

  private constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  static async open(stateDir: string, log: Logger): Promise<SandboxRecords> {
    const folder = join(stateDir, "sandboxes");
    await ensurePrivateFolder(stateDir);
    await ensurePrivateFolder(folder);
    const records = new SandboxRecords(folder, log);
    for (const file of await readdir(folder)) {
      const path = join(folder, file);
      if (file.startsWith(".")) await removeLeftOver(path, log);
      else if (file.endsWith(".json")) await records.#read(path, file);
    }
    return records;
  }

  async #read(path: string, file: string): Promise<void> {
    const text = await readFile(path, "utf8").catch((error: unknown) => ({ error }));
    if (typeof text !== "string") {
      // Too many open files, an I/O error, other rights: it may be whole.
      const reason = errorText(text.error);
      this.#log.warn({ path, error: reason }, "sandbox record cannot be read, left alone");
      this.#leftAlone.set(file, `could not be read when dockline started: ${reason}`);
      return;
    }
    const found = parseStored(text);
    if (found === "newer") {
      this.#log.warn({ path }, "sandbox record was written by a newer version, left alone");
      this.#leftAlone.set(file, "was written by a newer version of dockline");
    } else if (found === undefined || fileName(found.name) !== file) {
      this.#log.warn({ path }, "sandbox record is damaged, put aside");
      await putAside(path, this.#log);
    } else this.#keep(withoutOldFailure(found));
  }

  all(): SandboxRecord[] {
    return [...this.#byName.values()];
  }

  byName(name: AskedName): SandboxRecord | undefined {
    return this.#byName.get(name);
  }

  byId(id: string): SandboxRecord | undefined {
    const name = this.#nameOfId.get(id);
    return name === undefined ? undefined : this.#byName.get(name);
  }

  /**
   * By an id or a unique prefix of one, for sandboxes that the engine no longer knows.
   *
   * @throws CriError InvalidArgument for a prefix of several
   */
  byIdPrefix(prefix: string): SandboxRecord | undefined {
    const exact = this.byId(prefix);
    if (exact !== undefined) return exact;
    const found = this.all().filter((record) => record.id?.startsWith(prefix) === true);
    if (found.length > 1) {
      throw invalidArgument(`pod sandbox id ${prefix} is a prefix of several`);
    }
    return found[0];
  }

  /**
   * Durable when it resolves; memory follows the disk, so a failed write changes nothing.
   *
   * @throws CriError FailedPrecondition when this sandbox's record is one that is left alone
   */
  async save(record: SandboxRecord): Promise<void> {
    const leftAlone = this.#leftAlone.get(fileName(record.name));
    if (leftAlone !== undefined) {
      const path = join(this.#folder, fileName(record.name));
      throw new CriError("FailedPrecondition", `${path} ${leftAlone}`);
    }
    const stored: Stored = { version: 1, checksum: checksumOf(record), record };
    // Before a network is owed a power cut may take the record: it stops the pod as well, and the
    // container that is left behind names itself.
    const durable = record.network !== undefined || record.phase === "ready";
    await writeFileAtomic(
      join(this.#folder, fileName(record.name)),
      JSON.stringify(stored),
      0o600,
      durable,
    );
    this.#removals.keep(join(this.#folder, fileName(record.name)));
    this.#keep(record);
  }

  /**
   * For Stop and Remove, which must work on a full or read-only disk: memory goes ahead, at once, and
   * the file may stay behind, so that after a restart the steps are repeated (they may be).
   */
  async saveIfPossible(record: SandboxRecord): Promise<void> {
    this.#keep(record);
    try {
      await this.save(record);
    } catch (err) {
      this.#log.warn({ err, sandbox: record.name }, "a sandbox record could not be written");
    }
  }

  async delete(record: SandboxRecord): Promise<void> {
    const file = fileName(record.name);
    if (!this.#leftAlone.has(file)) await this.#removals.remove(join(this.#folder, file));
    this.#byName.delete(record.name);
    if (record.id !== undefined) this.#nameOfId.delete(record.id);
  }

  #keep(record: SandboxRecord): void {
    this.#byName.set(record.name, record);
    if (record.id !== undefined) this.#nameOfId.set(record.id, record.name);
  }
}

/** An older version that was taken back to for a while has run the DEL, and kept what it does not know. */
function withoutOldFailure(record: SandboxRecord): SandboxRecord {
  const { delFailure, network, ...rest } = record;
  return delFailure === undefined || network !== undefined ? record : rest;
}

/** Docker names can be longer than a file name may be, hence the hash. */
function fileName(name: string): string {
  return `${createHash("sha256").update(name).digest("hex").slice(0, 40)}.json`;
}

function checksumOf(record: SandboxRecord): string {
  return createHash("sha256").update(JSON.stringify(record)).digest("hex");
}

/** Of a write that was broken off. */
async function removeLeftOver(path: string, log: Logger): Promise<void> {
  try {
    await unlinkIfExists(path);
  } catch (error) {
    log.warn({ path, error: errorText(error) }, "what a write has left cannot be removed");
  }
}

/** Where even that fails, the file stays and is met again at the next start. */
async function putAside(path: string, log: Logger): Promise<void> {
  try {
    await rename(path, `${path}.corrupt`);
  } catch (error) {
    log.warn({ path, error: errorText(error) }, "sandbox record cannot be put aside");
  }
}

/** "newer" for a record of a later version; undefined for what is damaged. */
export function parseStored(text: string): SandboxRecord | "newer" | undefined {
  try {
    const stored = JSON.parse(text) as Partial<Omit<Stored, "version">> & { version?: unknown };
    const { version } = stored;
    if (Number.isInteger(version) && (version as number) > 1) return "newer";
    if (version !== 1 || stored.record === undefined) return undefined;
    return checksumOf(stored.record) === stored.checksum ? stored.record : undefined;
  } catch {
    return undefined;
  }
}
