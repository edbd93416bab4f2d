import { join } from "node:path";
import { detailsV1 } from "./cgroup-details-v1.ts";
import type { CgroupFolders } from "./cgroup-paths.ts";
import type { Cgroup, SwapFigures } from "./figures.ts";
import { KeptFile } from "./kept-file.ts";
import type { DescriptorBudget } from "./kept-file.ts";
import { memoryFigures, namesV1 } from "./memory-stat.ts";
import { pressureFiles } from "./pressure.ts";
import { less, numberOf, wholeNumber } from "./scan.ts";

/** The kernel's "no limit" is the largest number of whole pages in 63 bits. */
const unlimited = 1n << 62n;

/** A cgroup in the hierarchies of version 1; pressure comes from the unified one beside them. */
export function openCgroupV1(folders: CgroupFolders, budget: DescriptorBudget): Cgroup {
  const file = (controller: string, name: string): KeptFile =>
    new KeptFile(join(folders.v1[controller] ?? "/nonexistent", name), budget);
  const cpu = file("cpuacct", "cpuacct.usage");
  const memoryUsage = file("memory", "memory.usage_in_bytes");
  const memoryStat = file("memory", "memory.stat");
  const memoryLimit = file("memory", "memory.limit_in_bytes");
  const pids = file("pids", "pids.current");
  const pressure = pressureFiles(folders.unified, budget);
  const cpuUsageNs = (): bigint | undefined => wholeNumber(cpu.read());
  return {
    path: folders.path,
    cpuUsageNs,
    read: (atNs, wanted) => {
      const usageNs = cpuUsageNs();
      if (usageNs === undefined) return undefined;
      const stat = memoryStat.read();
      const usageBytes = wholeNumber(memoryUsage.read());
      const limit =
        wanted.available && mayBeLimited(stat) ? limited(memoryLimit.read()) : undefined;
      const memory = memoryFigures(stat, usageBytes, limit, namesV1);
      // The hierarchies lose a container one after another: half of its figures is none.
      if (memory === undefined && folders.v1["memory"] !== undefined) return undefined;
      return {
        atNs,
        cpuUsageNs: usageNs,
        cpuPsi: wanted.pressure ? pressure.cpu() : undefined,
        memory,
        memoryPsi: wanted.pressure ? pressure.memory() : undefined,
        swap: swapOf(stat),
        ioPsi: wanted.pressure ? pressure.io() : undefined,
        pids: wanted.pids ? wholeNumber(pids.read()) : undefined,
      };
    },
    details: (files) => detailsV1(folders, files),
    close: () => {
      for (const kept of [cpu, memoryUsage, memoryStat, memoryLimit, pids]) kept.close();
      pressure.close();
    },
  };
}

/** The smallest limit up to the root stands among the counters: without one there is none here. */
function mayBeLimited(stat: string | undefined): boolean {
  const smallest = stat === undefined ? undefined : numberOf(stat, "hierarchical_memory_limit");
  return smallest === undefined || smallest < unlimited;
}

function limited(text: string | undefined): bigint | undefined {
  const limit = wholeNumber(text);
  return limit === undefined || limit >= unlimited ? undefined : limit;
}

/** Only there when the kernel accounts for swap. What is left counts memory limits of the parents. */
function swapOf(stat: string | undefined): SwapFigures | undefined {
  if (stat === undefined) return undefined;
  const usageBytes = numberOf(stat, "total_swap");
  if (usageBytes === undefined) return undefined;
  const memory = numberOf(stat, "hierarchical_memory_limit");
  const both = numberOf(stat, "hierarchical_memsw_limit");
  const limited = memory !== undefined && both !== undefined && both < unlimited;
  return {
    usageBytes,
    availableBytes: limited ? less(less(both, memory), usageBytes) : undefined,
  };
}
