import { readFileSync } from "node:fs";
import { containerPids } from "../../src/sys/process-tree.ts";

/** Command lines of a container's processes but the one with pid `init`, which must live. */
export function processesBeside(init: number, containerId: string): string[] {
  return containerPids(init, containerId).flatMap((pid) => {
    if (pid === init) return [];
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      // A zombie has no command line any more.
      return line === "" ? [] : [line];
    } catch {
      // Ended while it was read.
      return [];
    }
  });
}
