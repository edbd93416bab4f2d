import { readFile, readdir, readlink } from "node:fs/promises";
import { isErrno } from "../sys/fs.ts";
import { isRunning, readProcess } from "../sys/process-tree.ts";
import type { ProcessIdentity } from "../sys/process-tree.ts";

/**
 * Ends plugins that still run for a container although nobody waits for them: they outlive a
 * `kill -9` of this process, and an ADD that goes on beside or after its DEL leaks an address.
 * Plugins and their own children carry the container's id in their environment (CNI spec); a
 * process of another pid namespace is some pod's and none of ours. Returns how many were killed.
 */
export async function endOrphanedPlugins(containerId: string): Promise<number> {
  const own = await readlink("/proc/self/ns/pid");
  const killed: ProcessIdentity[] = [];
  for (const entry of await readdir("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const before = readProcess(pid);
    if (before === undefined || !(await runsFor(pid, containerId, own))) continue;
    // Between the look and the kill the pid may have gone to somebody else.
    if (readProcess(pid)?.startTicks !== before.startTicks) continue;
    try {
      process.kill(pid, "SIGKILL");
      killed.push(before);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
  }
  // Locks of the plugins (host-local's) are free only when they are really gone.
  for (let waitedMs = 0; waitedMs < 2000 && killed.some(isRunning); waitedMs += 20) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return killed.length;
}

async function runsFor(pid: number, containerId: string, ownNamespace: string): Promise<boolean> {
  try {
    const environment = (await readFile(`/proc/${pid}/environ`, "latin1")).split("\0");
    if (!environment.includes(`CNI_CONTAINERID=${containerId}`)) return false;
    return (await readlink(`/proc/${pid}/ns/pid`)) === ownNamespace;
  } catch (error) {
    // It ended, or is not ours to look at.
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return false;
    throw error;
  }
}
