import { createHash } from "node:crypto";
import { readFile, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument } from "../errors.ts";
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

/** What Docker cannot hold for one sandbox. Plain JSON; 64-bit numbers as decimal text. */
export interface SandboxRecord {
  readonly name: string;
  readonly id?: string;
  readonly phase: SandboxPhase;
  readonly configHash: string;
  readonly hostNetwork: boolean;
  /** PodSandboxConfig, protobuf bytes in base64: what a lost pause container is still listed from. */
  readonly config: string;
  readonly runtimeHandler: string;
  readonly createdAtNs: string;
  /** Bind mount of the network namespace, from inspect. */
  readonly netns?: string;
  /** The CNI attachment as network/ wrote it; opaque here. Present while DEL is owed. */
  readonly network?: object;
  /** Addresses from ADD, first is the primary one. */
  readonly ips: readonly string[];
  /** UpdatePodSandboxResources: overhead and resources as last asked, protobuf JSON. */
  readonly updatedResources?: { overhead?: string; resources?: string };
}

interface Stored {
  version: 1;
  checksum: string;
  record: SandboxRecord;
}

/**
 * One file for each sandbox under `<state dir>/sandboxes`, written atomically with a checksum; all
 * of them are in memory as well. A damaged file is put aside as `*.corrupt` and reported: Docker's
 * own data still allows Stop and Remove.
 */
export class SandboxRecords {
  readonly #folder: string;
  readonly #byName = new Map<string, SandboxRecord>();
  readonly #nameOfId = new Map<string, string>();
  /** Counts changes of each record: caches of what was made from it compare this. */
  #revision = 0;
  readonly #log: Logger;
  readonly #removals = new OwedRemovals();

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
      if (file.startsWith(".")) await unlinkIfExists(path);
      if (file.startsWith(".") || !file.endsWith(".json")) continue;
      const record = parseStored(await readFile(path, "utf8"));
      if (record === undefined || fileName(record.name) !== file) {
        log.warn({ path }, "sandbox record is damaged, put aside");
        await rename(path, `${path}.corrupt`);
        continue;
      }
      records.#keep(record);
    }
    return records;
  }

  all(): SandboxRecord[] {
    return [...this.#byName.values()];
  }

  byName(name: string): SandboxRecord | undefined {
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

  get revision(): number {
    return this.#revision;
  }

  /** Durable when it resolves; memory follows the disk, so a failed write changes nothing. */
  async save(record: SandboxRecord): Promise<void> {
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
   * For Stop and Remove, which must work on a full or read-only disk: memory goes ahead and the
   * file stays behind, so that after a restart the steps are repeated (they may be).
   */
  async saveIfPossible(record: SandboxRecord): Promise<void> {
    try {
      await this.save(record);
    } catch (err) {
      this.#log.warn({ err, sandbox: record.name }, "a sandbox record could not be written");
      this.#keep(record);
    }
  }

  async delete(record: SandboxRecord): Promise<void> {
    await this.#removals.remove(join(this.#folder, fileName(record.name)));
    this.#byName.delete(record.name);
    if (record.id !== undefined) this.#nameOfId.delete(record.id);
    this.#revision += 1;
  }

  #keep(record: SandboxRecord): void {
    this.#byName.set(record.name, record);
    if (record.id !== undefined) this.#nameOfId.set(record.id, record.name);
    this.#revision += 1;
  }
}

/** Docker names can be longer than a file name may be, hence the hash. */
function fileName(name: string): string {
  return `${createHash("sha256").update(name).digest("hex").slice(0, 40)}.json`;
}

function checksumOf(record: SandboxRecord): string {
  return createHash("sha256").update(JSON.stringify(record)).digest("hex");
}

function parseStored(text: string): SandboxRecord | undefined {
  try {
    const stored = JSON.parse(text) as Partial<Stored>;
    if (stored.version !== 1 || stored.record === undefined) return undefined;
    return checksumOf(stored.record) === stored.checksum ? stored.record : undefined;
  } catch {
    return undefined;
  }
}
