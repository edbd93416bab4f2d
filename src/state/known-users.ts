import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { readTextIfExists, removeUnfinished, writeFileAtomic } from "../sys/fs.ts";
import { RecentMap } from "../sys/recent-map.ts";
import { NewerFile, refuseNewer } from "./newer-file.ts";

interface ProcessIds {
  readonly uid: bigint;
  readonly gid: bigint;
  readonly supplementalGroups: readonly bigint[];
}

/** Ids of one kind of container in the file: uid, gid, groups. */
type Row = [key: string, uid: number, gid: number, groups: number[]];

const kept = 512;
const fileName = "known-users.json";

/**
 * What processes got of an image, a user and groups to add, as OCI specs had it. The engine forgets the
 * spec of a container that has ended; another one of the same kind, or the same one before, tells it.
 * A loss of the file costs no more than `user` in the status of containers that ended before. One of a newer version
 * is not written over.
 */
export class KnownUsers {
  readonly #path: string;
  readonly #log: Logger;
  readonly #known = new RecentMap<ProcessIds>(kept);
  #rows: Row[] = [];
  #writing: Promise<void> | undefined;
  #changed = false;
  #leftAlone = false;

  private constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  static async open(stateDir: string, log: Logger): Promise<KnownUsers> {
    const users = new KnownUsers(join(stateDir, fileName), log);
    try {
      await removeUnfinished(users.#path);
      const text = await readTextIfExists(users.#path);
      for (const row of text === undefined ? [] : parse(text)) users.#put(row);
    } catch (error) {
      users.#leftAlone = error instanceof NewerFile;
      log.info({ error: errorText(error) }, "the file of known users cannot be used");
    }
    return users;
  }

  get(key: string): ProcessIds | undefined {
    return this.#known.get(key);
  }

  add(key: string, ids: ProcessIds): void {
    if (this.#known.get(key) !== undefined) return;
    this.#put([key, Number(ids.uid), Number(ids.gid), ids.supplementalGroups.map(Number)]);
    if (this.#leftAlone) return;
    this.#changed = true;
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  /** Resolves when what is known is written. */
  async close(): Promise<void> {
    await this.#writing;
  }

  #put(row: Row): void {
    const [key, uid, gid, groups] = row;
    this.#rows = [...this.#rows.slice(-kept + 1), row];
    this.#known.set(key, {
      uid: BigInt(uid),
      gid: BigInt(gid),
      supplementalGroups: groups.map(BigInt),
    });
  }

  async #write(): Promise<void> {
    while (this.#changed) {
      this.#changed = false;
      try {
        const text = JSON.stringify({ v: 1, users: this.#rows });
        await writeFileAtomic(this.#path, text, 0o600, false);
      } catch (error) {
        this.#log.debug({ error: errorText(error) }, "the file of known users cannot be written");
      }
    }
  }
}

function parse(text: string): Row[] {
  const { v, users } = JSON.parse(text) as { v?: unknown; users?: unknown };
  refuseNewer(v, 1);
  if (v !== 1 || !Array.isArray(users)) throw new Error("it is of another form");
  return (users as unknown[]).filter(isRow);
}

function isRow(value: unknown): value is Row {
  const isId = (id: unknown): boolean => Number.isSafeInteger(id) && (id as number) >= 0;
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [key, uid, gid, groups] = value as unknown[];
  return (
    typeof key === "string" && isId(uid) && isId(gid) && Array.isArray(groups) && groups.every(isId)
  );
}
