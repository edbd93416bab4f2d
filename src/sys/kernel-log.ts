import { closeSync, constants, openSync, readSync } from "node:fs";
import { RecentMap } from "./recent-map.ts";

/** Containers whose kill is remembered; a kubelet asks within seconds. */
const REMEMBERED = 1024;
/** One read gives one record, and the kernel's are shorter than this. */
const RECORD_BYTES = 8192;

/**
 * Container (64 hex digits) that a record of /dev/kmsg says was hit by the out-of-memory killer. The
 * kernel's own records have facility 0; whoever may write to the device gets another one.
 */
export function oomVictimOf(record: string): string | undefined {
  const priority = /^(\d+),/.exec(record)?.[1];
  if (priority === undefined || Number(priority) > 7) return undefined;
  return /;(?:oom-kill:.*task_memcg=|Task in )[^,\s]*?([0-9a-f]{64})/.exec(record)?.[1];
}

/**
 * The kernel's account of out-of-memory kills. The engine's comes too late, or not at all for a
 * container that lived for less than it takes to begin watching it. Where the log cannot be read
 * (no CAP_SYSLOG) nothing is known.
 */
export class KernelLog {
  #fd: number | undefined;
  readonly #victims = new RecentMap<true>(REMEMBERED);
  readonly #buffer = Buffer.alloc(RECORD_BYTES);

  constructor(path = "/dev/kmsg") {
    try {
      this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      // Without it the engine's own word is all there is.
    }
    this.#read();
  }

  /** True when one of the container's processes was killed for lack of memory. */
  oomKilled(containerId: string): boolean {
    this.#read();
    return this.#victims.has(containerId);
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #read(): void {
    while (this.#fd !== undefined) {
      let length: number;
      try {
        length = readSync(this.#fd, this.#buffer);
      } catch (error) {
        // EPIPE: records were overwritten before they were read; the next read goes on after them.
        if ((error as NodeJS.ErrnoException).code === "EPIPE") continue;
        return;
      }
      if (length === 0) return;
      const victim = oomVictimOf(this.#buffer.toString("utf8", 0, length));
      if (victim !== undefined) this.#victims.set(victim, true);
    }
  }
}
