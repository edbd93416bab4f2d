import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const hierarchy = "/sys/fs/cgroup/hugetlb";

/**
 * Mounts the v1 hierarchy of huge pages while `work` runs. A hierarchy with any cgroup left in it
 * outlives its mount, and then containerd's shims find no mount for it and watch no container for
 * running out of memory, those of other engines included: so all cgroups go first.
 */
export async function withHugetlb<T>(work: () => Promise<T>): Promise<T> {
  mkdirSync(hierarchy, { recursive: true });
  execFileSync("mount", ["-t", "cgroup", "-o", "hugetlb", "hugetlb", hierarchy]);
  try {
    return await work();
  } finally {
    for (const name of folders(hierarchy)) empty(join(hierarchy, name));
    execFileSync("umount", [hierarchy]);
    try {
      rmdirSync(hierarchy);
    } catch {
      // A container that ended meanwhile left a plain folder in its place: nothing is mounted there.
    }
  }
}

function empty(cgroup: string): void {
  for (const name of folders(cgroup)) empty(join(cgroup, name));
  for (const pid of readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n")) {
    if (pid !== "") writeFileSync(join(hierarchy, "cgroup.procs"), pid);
  }
  rmdirSync(cgroup);
}

function folders(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}
