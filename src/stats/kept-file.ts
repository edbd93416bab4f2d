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

/** Half of what the process may open: connections, logs and plugins need theirs. */
function defaultLimit(): number {
  const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return Math.floor(Number(soft ?? 1024) / 2);
}

const buffer = Buffer.allocUnsafe(64 * 1024);

/**
 * One small kernel file, kept open: reading it again costs a third of opening it anew. The kernel
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
      if (this.#fd !== undefined) return readAll(this.#fd);
      const fd = openSync(this.#path, "r");
      if (this.#budget.take()) {
        this.#fd = fd;
        return readAll(fd);
      }
      try {
        return readAll(fd);
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

/** A kernel file that is read now and then; undefined when it is not there. */
export function readKernelFile(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Once, from the start: as a whole where the file is one record, else until the end. */
function readAll(fd: number): string {
  let length = readSync(fd, buffer, 0, buffer.length, 0);
  // A file of many records comes in pages.
  while (length >= 4000 && length < buffer.length) {
    const more = readSync(fd, buffer, length, buffer.length - length, length);
    if (more === 0) break;
    length += more;
  }
  return buffer.toString("latin1", 0, length);
}

/** ENODEV: the cgroup was removed under an open file. EOPNOTSUPP: pressure accounting is off. */
function isGone(error: unknown): boolean {
  return isErrno(error, "ENOENT", "ENODEV", "ENOTDIR", "ESRCH", "EOPNOTSUPP", "ENOTSUP", "EINVAL");
}
