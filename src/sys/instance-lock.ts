import { linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "./fs.ts";
import { readProcess } from "./process-tree.ts";

/** One process for each state folder; a second one would write the same records. */
export interface InstanceLock {
  release(): void;
}

/**
 * Takes the folder's lock file, which holds pid and start time: one of a killed process is taken
 * over, whoever got its pid since. Throws an Error that names the holder when it lives.
 */
export function lockFolder(folder: string): InstanceLock {
  const path = join(folder, "lock");
  const mine = identityOf(process.pid);
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, mine, { mode: 0o600 });
  try {
    for (let attempt = 0; ; attempt += 1) {
      try {
        // link(2) fails when the name exists: the one atomic "create if absent" with content.
        linkSync(draft, path);
        break;
      } catch (error) {
        if (!isErrno(error, "EEXIST") || attempt >= 3) throw error;
        const holder = readFileSync(path, "utf8");
        const pid = Number(holder.split(" ")[0]);
        if (holder === identityOf(pid)) {
          throw new Error(`another instance uses ${folder}: pid ${pid}`, { cause: error });
        }
        unlinkSync(path);
      }
    }
  } finally {
    unlinkSync(draft);
  }
  return {
    release: () => {
      try {
        if (readFileSync(path, "utf8") === mine) unlinkSync(path);
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    },
  };
}

function identityOf(pid: number): string {
  return `${pid} ${readProcess(pid)?.startTicks ?? "gone"}`;
}
