import { join } from "node:path";
import { hugetlbUsage, processIdsOf } from "./cgroup-listing.ts";
import type { CgroupDetails, DeviceIo } from "./figures.ts";
import type { KernelFiles } from "./kernel-files.ts";
import { numberOf, wholeNumber } from "./scan.ts";

/** Read when a dashboard asks, with no file kept open. */
export function detailsV2(folder: string, files: KernelFiles): CgroupDetails {
  const text = (name: string): string | undefined => files.read(join(folder, name), name);
  const cpuStat = text("cpu.stat") ?? "";
  const memoryStat = text("memory.stat") ?? "";
  const events = text("memory.events") ?? "";
  const [quota, period] = (text("cpu.max") ?? "").trim().split(" ");
  const microseconds = (key: string): bigint | undefined => {
    const value = numberOf(cpuStat, key);
    return value === undefined ? undefined : value * 1000n;
  };
  return {
    cpuUserNs: microseconds("user_usec"),
    cpuSystemNs: microseconds("system_usec"),
    cfsPeriods: numberOf(cpuStat, "nr_periods"),
    cfsThrottledPeriods: numberOf(cpuStat, "nr_throttled"),
    cfsThrottledNs: microseconds("throttled_usec"),
    cpuShares: sharesOf(wholeNumber(text("cpu.weight"))),
    cpuPeriodUs: wholeNumber(period),
    cpuQuotaUs: wholeNumber(quota),
    cacheBytes: numberOf(memoryStat, "file"),
    mappedFileBytes: numberOf(memoryStat, "file_mapped"),
    activeFileBytes: numberOf(memoryStat, "active_file"),
    inactiveFileBytes: numberOf(memoryStat, "inactive_file"),
    kernelBytes: numberOf(memoryStat, "kernel") ?? kernelParts(memoryStat),
    maxUsageBytes: wholeNumber(text("memory.peak")),
    // Version 2 has no such counter; cAdvisor and containerd send 0, too.
    failures: 0n,
    oomKills: numberOf(events, "oom_kill"),
    ownPageFaults: numberOf(memoryStat, "pgfault"),
    ownMajorPageFaults: numberOf(memoryStat, "pgmajfault"),
    memoryLimitBytes: limitOf(text("memory.max")),
    // The files that cAdvisor reads. The kubelet's MemoryQoS sets memory.min; swap is counted apart
    // from memory here, which version 1 counted together.
    memoryReservationBytes: limitOf(text("memory.min")),
    memorySwapLimitBytes: limitOf(text("memory.swap.max")),
    pidsMax: limitOf(text("pids.max")),
    io: ioStat(text("io.stat") ?? ""),
    hugetlb: hugetlbUsage(folder, "current", undefined),
    processIds: processIdsOf(folder),
  };
}

/** "max" is 0, which stands for "no limit" in the series. */
function limitOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  return text.trim() === "max" ? 0n : wholeNumber(text);
}

/** The way back from runc's translation of shares (2 … 262144) into weights (1 … 10000). */
function sharesOf(weight: bigint | undefined): bigint | undefined {
  return weight === undefined ? undefined : 2n + ((weight - 1n) * 262_142n) / 9_999n;
}

/** Kernels before 5.18 have no sum. */
function kernelParts(stat: string): bigint | undefined {
  const stack = numberOf(stat, "kernel_stack");
  if (stack === undefined) return undefined;
  return stack + (numberOf(stat, "slab") ?? 0n) + (numberOf(stat, "pagetables") ?? 0n);
}

/** Lines of the form "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". */
function ioStat(text: string): DeviceIo[] {
  return text.split("\n").flatMap((line) => {
    const [device = "", ...fields] = line.split(" ");
    const [major, minor] = device.split(":");
    if (major === undefined || minor === undefined) return [];
    const value = (key: string): bigint =>
      wholeNumber(fields.find((field) => field.startsWith(`${key}=`))?.slice(key.length + 1)) ?? 0n;
    return [
      {
        major,
        minor,
        readBytes: value("rbytes"),
        writeBytes: value("wbytes"),
        reads: value("rios"),
        writes: value("wios"),
      },
    ];
  });
}
