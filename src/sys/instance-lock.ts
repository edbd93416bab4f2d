import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
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
        refuseIfAlive(readHolder(path), folder, error);
        takeAway(path, `${draft}.old`, folder);
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

function readHolder(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  }
}

function refuseIfAlive(holder: string, folder: string, cause: unknown): void {
  const pid = Number(holder.split(" ")[0]);
  if (holder === "" || holder !== identityOf(pid)) return;
  throw new Error(`another instance uses ${folder}: pid ${pid}`, { cause });
}

/**
 * Removes the lock of a process that is gone. Of two starts that both found it, the slower one would
 * remove the faster one's lock by its name: so it is taken by a rename, looked at, and given back.
 */
function takeAway(path: string, aside: string, folder: string): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  try {
    refuseIfAlive(readFileSync(aside, "utf8"), folder, undefined);
  } catch (error) {
    linkSync(aside, path);
    throw error;
  } finally {
    unlinkSync(aside);
  }
}

function identityOf(pid: number): string {
  return `${pid} ${readProcess(pid)?.startTicks ?? "gone"}`;
}
