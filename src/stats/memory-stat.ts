import type { MemoryFigures } from "./figures.ts";
import { less, numberOf } from "./scan.ts";

/** Names of the same counters in `memory.stat` of both cgroup versions. */
interface StatNames {
  inactiveFile: string;
  rss: string;
  pageFaults: string;
  majorPageFaults: string;
}

/** With the children's counted in, as version 2 always does. */
export const namesV1: StatNames = {
  inactiveFile: "total_inactive_file",
  rss: "total_rss",
  pageFaults: "total_pgfault",
  majorPageFaults: "total_pgmajfault",
};

export const namesV2: StatNames = {
  inactiveFile: "inactive_file",
  rss: "anon",
  pageFaults: "pgfault",
  majorPageFaults: "pgmajfault",
};

/**
 * Memory as the kubelet counts it: the working set is the usage without inactive file pages, and
 * what is available is the limit's rest, undefined without a limit. All in bytes but the faults.
 */
export function memoryFigures(
  stat: string | undefined,
  usageBytes: bigint | undefined,
  limit: bigint | undefined,
  names: StatNames,
): MemoryFigures | undefined {
  if (stat === undefined || usageBytes === undefined) return undefined;
  const workingSetBytes = less(usageBytes, numberOf(stat, names.inactiveFile) ?? 0n);
  return {
    usageBytes,
    workingSetBytes,
    availableBytes: limit === undefined ? undefined : less(limit, workingSetBytes),
    rssBytes: numberOf(stat, names.rss) ?? 0n,
    pageFaults: numberOf(stat, names.pageFaults) ?? 0n,
    majorPageFaults: numberOf(stat, names.majorPageFaults) ?? 0n,
  };
}
