import { readdir, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument } from "../errors.ts";
import { readTextIfExists } from "../sys/fs.ts";
import { OwedRemovals } from "../sys/owed-removals.ts";

/** How far into which of Docker's files. */
export interface SourcePosition {
  /** Inode number, decimal; a file keeps it through rotation. */
  ino: string;
  /** When it was made, nanoseconds: before its first entry is read there is no mark. Absent: not known. */
  born?: string;
  offset: number;
  /** Size when last seen, the least that can be missing when the file is gone. */
  size: number;
  /** The bytes just before `offset`, base64: an inode number alone may have been given out again. */
  mark: string;
  /** Bytes known to be missing before this file and not yet told in the log; absent: none. */
  missing?: number;
}

/** The CRI file and its length at the same moment. */
export interface TargetPosition {
  ino: string;
  length: number;
}

/** Read and written together: one without the other would lose or double lines. */
export interface Position {
  source: SourcePosition | null;
  target: TargetPosition;
  /** The container had exited and all of its output was written. */
  drained: boolean;
}

const SUFFIX = ".json";
/** Of one that is being written, or was by a process that was killed. */
const HALF_SUFFIX = `${SUFFIX}.tmp`;
const count = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const decimal = (value: unknown): value is string =>
  typeof value === "string" && /^\d{1,20}$/.test(value);

function isSource(value: unknown): value is SourcePosition {
  const { ino, born, offset, size, mark, missing } = value as Record<string, unknown>;
  return (
    decimal(ino) &&
    count(offset) &&
    count(size) &&
    typeof mark === "string" &&
    (born === undefined || decimal(born)) &&
    (missing === undefined || count(missing))
  );
}

function parsePosition(text: string): Position | undefined {
  try {
    const { v, source, target, drained } = JSON.parse(text) as Record<string, unknown>;
    if (v !== 1 || typeof drained !== "boolean") return undefined;
    if (source !== null && !isSource(source)) return undefined;
    const { ino, length } = target as Record<string, unknown>;
    if (!decimal(ino) || !count(length)) return undefined;
    return { source, target: { ino, length }, drained };
  } catch {
    return undefined;
  }
}

/**
 * The positions of all containers, one small file each. No fsync: they guard against the death of
 * this process, which the page cache outlives. A power cut ends the containers too, and may cost
 * the last lines of their logs as it does with any runtime.
 */
export class PositionStore {
  readonly #folder: string;
  readonly #removals = new OwedRemovals();

  constructor(folder: string) {
    this.#folder = folder;
  }

  #path(containerId: string, suffix = SUFFIX): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(containerId))
      throw invalidArgument(`container id ${JSON.stringify(containerId.slice(0, 120))} is not one`);
    return join(this.#folder, containerId + suffix);
  }

  /** Undefined when there is none or it cannot be read as one. */
  async load(containerId: string): Promise<Position | undefined> {
    const text = await readTextIfExists(this.#path(containerId));
    return text === undefined ? undefined : parsePosition(text);
  }

  /** Old or new content is there at every moment. Calls for one container must not overlap. */
  async save(containerId: string, position: Position): Promise<void> {
    const path = this.#path(containerId);
    const temporary = this.#path(containerId, HALF_SUFFIX);
    try {
      await writeFile(temporary, JSON.stringify({ v: 1, ...position }), { mode: 0o600 });
      await rename(temporary, path);
      this.#removals.keep(path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  async forget(containerId: string): Promise<void> {
    await this.#removals.remove(this.#path(containerId));
    await this.#removals.remove(this.#path(containerId, HALF_SUFFIX));
  }

  /** Ids of all containers with a position, or half of one. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#folder);
    const ids = names.flatMap((name) => {
      const suffix = [SUFFIX, HALF_SUFFIX].find((each) => name.endsWith(each));
      return suffix === undefined ? [] : [name.slice(0, -suffix.length)];
    });
    return [...new Set(ids)];
  }
}
