import { readFileSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { cgroupFoldersOf, readCgroupMounts } from "../../src/stats/cgroup-paths.ts";
import type { CgroupFolders } from "../../src/stats/cgroup-paths.ts";
import { numberOf } from "../../src/stats/scan.ts";

/** User and system time of a process, in the kernel's ticks of 10 ms. */
export function ticksOf(pid: number): bigint {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return BigInt(fields[11]!) + BigInt(fields[12]!);
}

function foldersOf(pid: number, id: string): CgroupFolders {
  return cgroupFoldersOf(readCgroupMounts(), pid, id)!;
}

/** What the kernel's files say this moment. */
export function memoryOf(
  pid: number,
  id: string,
): { usage: bigint; inactiveFile: bigint; anonymous: bigint } {
  const { v1, unified } = foldersOf(pid, id);
  const folder = v1["memory"] ?? unified!;
  const prefix = v1["memory"] === undefined ? "" : "total_";
  const stat = readFileSync(join(folder, "memory.stat"), "utf8");
  const usage = v1["memory"] === undefined ? "memory.current" : "memory.usage_in_bytes";
  return {
    usage: BigInt(readFileSync(join(folder, usage), "utf8").trim()),
    inactiveFile: numberOf(stat, `${prefix}inactive_file`)!,
    anonymous: numberOf(stat, prefix === "" ? "anon" : "total_rss")!,
  };
}

/** Docker and the kubelet make the parents' cgroups and may leave them there, empty. */
export function removeCgroup(parent: string): void {
  if (!parent.startsWith("/")) return;
  const { v1, unified } = readCgroupMounts();
  for (const mount of new Set([
    ...Object.values(v1),
    ...(unified === undefined ? [] : [unified]),
  ])) {
    removeTree(join(mount, parent));
  }
}

function removeTree(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(folder, entry.name));
    }
    rmdirSync(folder);
  } catch {
    // This hierarchy has none, or something still runs in it.
  }
}
