import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { isErrno } from "../sys/fs.ts";

/** How many descriptors may stay open for figures; the rest is opened for each reading. */
export class DescriptorBudget {
  #free: number;
  constructor(limit: number = defaultLimit()) {
    this.#free = limit;
  }
  take(): boolean {
    if (this.#free <= 0) return false;
    this.#free -= 1;
    return true;
  }
  give(): void {
    this.#free += 1;
  }
}

/** Half of the process's limit of open files; the rest is for connections, logs and plugins. */
function defaultLimit(): number {
  const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return Math.floor(Number(soft ?? 1024) / 2);
}

/** What the kernel prepares of a file at once, unless one record needs more. */
const pageBytes = 4096;

const buffer = Buffer.allocUnsafe(64 * 1024);

/**
 * One file of a cgroup, kept open: reading it again costs a third of opening it again. The kernel
 * makes these files up while they are read, so the read is synchronous and waits for no disk.
 */
export class KeptFile {
  readonly #path: string;
  readonly #budget: DescriptorBudget;
  #fd: number | undefined;
  #absent = false;

  constructor(path: string, budget: DescriptorBudget) {
    this.#path = path;
    this.#budget = budget;
  }

  /** Its text, or undefined when there is no such file (any more). */
  read(): string | undefined {
    if (this.#absent) return undefined;
    try {
      if (this.#fd !== undefined) return readRecord(this.#fd);
      const fd = openSync(this.#path, "r");
      if (this.#budget.take()) {
        this.#fd = fd;
        return readRecord(fd);
      }
      try {
        return readRecord(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (!isGone(error)) throw error;
      // A kernel without this file will not get it; a cgroup that is gone stays gone.
      this.#absent = true;
      this.close();
      return undefined;
    }
  }

  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
    this.#budget.give();
  }
}

/**
 * A kernel file that is read now and then; undefined when it is not there. With the length of its
 * longest record known, a read that had room for one more was the last: the one that would find the
 * end is saved.
 */
export function readKernelFile(path: string, longestRecord = pageBytes): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    return readAll(fd, longestRecord);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** From the start to the end; a file of many records comes in pieces of a page or less. */
function readAll(fd: number, longestRecord: number): string {
  let text = "";
  for (let position = 0; ;) {
    const length = readSync(fd, buffer, 0, buffer.length, position);
    text += buffer.toString("latin1", 0, length);
    if (length + longestRecord <= pageBytes) return text;
    position += length;
  }
}

/** The files of a cgroup are one record each, which comes as a whole. */
function readRecord(fd: number): string {
  return buffer.toString("latin1", 0, readSync(fd, buffer, 0, buffer.length, 0));
}

/** ENODEV: the cgroup was removed under an open file. EOPNOTSUPP: pressure accounting is off. */
function isGone(error: unknown): boolean {
  return isErrno(error, "ENOENT", "ENODEV", "ENOTDIR", "ESRCH", "EOPNOTSUPP", "ENOTSUP", "EINVAL");
}
