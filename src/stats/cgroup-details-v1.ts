import { join } from "node:path";
import type { CgroupFolders } from "./cgroup-paths.ts";
import { hugetlbUsage, processIdsOf } from "./cgroup-listing.ts";
import type { CgroupDetails, DeviceIo } from "./figures.ts";
import type { KernelFiles } from "./kernel-files.ts";
import { numberOf, wholeNumber } from "./scan.ts";

/** Read when a dashboard asks, with no file kept open. */
export function detailsV1(folders: CgroupFolders, files: KernelFiles): CgroupDetails {
  const text = (controller: string, name: string): string | undefined => {
    const folder = folders.v1[controller];
    return folder === undefined ? undefined : files.read(join(folder, name), name);
  };
  const number = (controller: string, name: string): bigint | undefined =>
    wholeNumber(text(controller, name));
  const cpuStat = text("cpu", "cpu.stat") ?? "";
  const memoryStat = text("memory", "memory.stat") ?? "";
  const quota = number("cpu", "cpu.cfs_quota_us");
  return {
    cpuUserNs: number("cpuacct", "cpuacct.usage_user"),
    cpuSystemNs: number("cpuacct", "cpuacct.usage_sys"),
    cfsPeriods: numberOf(cpuStat, "nr_periods"),
    cfsThrottledPeriods: numberOf(cpuStat, "nr_throttled"),
    cfsThrottledNs: numberOf(cpuStat, "throttled_time"),
    cpuShares: number("cpu", "cpu.shares"),
    cpuPeriodUs: number("cpu", "cpu.cfs_period_us"),
    cpuQuotaUs: quota,
    cacheBytes: numberOf(memoryStat, "total_cache"),
    mappedFileBytes: numberOf(memoryStat, "total_mapped_file"),
    activeFileBytes: numberOf(memoryStat, "total_active_file"),
    inactiveFileBytes: numberOf(memoryStat, "total_inactive_file"),
    kernelBytes: number("memory", "memory.kmem.usage_in_bytes"),
    maxUsageBytes: number("memory", "memory.max_usage_in_bytes"),
    failures: number("memory", "memory.failcnt"),
    oomKills: numberOf(text("memory", "memory.oom_control") ?? "", "oom_kill"),
    ownPageFaults: numberOf(memoryStat, "pgfault"),
    ownMajorPageFaults: numberOf(memoryStat, "pgmajfault"),
    memoryLimitBytes: limit(number("memory", "memory.limit_in_bytes")),
    memoryReservationBytes: limit(number("memory", "memory.soft_limit_in_bytes")),
    memorySwapLimitBytes: limit(number("memory", "memory.memsw.limit_in_bytes")),
    pidsMax:
      number("pids", "pids.max") ?? (text("pids", "pids.max") === undefined ? undefined : 0n),
    io: deviceIo(
      firstUseful(text, "io_service_bytes_recursive"),
      firstUseful(text, "io_serviced_recursive"),
    ),
    hugetlb: hugetlbUsage(folders.v1["hugetlb"], "usage_in_bytes", "max_usage_in_bytes"),
    processIds: processIdsOf(folders.v1["pids"] ?? folders.v1["memory"]),
  };
}

function limit(value: bigint | undefined): bigint | undefined {
  return value !== undefined && value >= 1n << 62n ? 0n : value;
}

/** Which of the schedulers counts depends on the disk; the first that has seen a device does. */
function firstUseful(
  text: (controller: string, name: string) => string | undefined,
  name: string,
): string {
  for (const prefix of ["blkio.bfq", "blkio", "blkio.throttle"]) {
    const found = text("blkio", `${prefix}.${name}`);
    if (found !== undefined && found.includes(":")) return found;
  }
  return "";
}

/** Lines of the form "8:0 Read 4096", one for each device and operation. */
function deviceIo(bytes: string, operations: string): DeviceIo[] {
  const devices = new Map<string, DeviceIo>();
  const each = (
    text: string,
    set: (io: DeviceIo, operation: string, value: bigint) => void,
  ): void => {
    for (const line of text.split("\n")) {
      const [device = "", operation = "", value = ""] = line.split(" ");
      const [major, minor] = device.split(":");
      const number = wholeNumber(value);
      if (major === undefined || minor === undefined || number === undefined) continue;
      const io = devices.get(device) ?? {
        major,
        minor,
        readBytes: 0n,
        writeBytes: 0n,
        reads: 0n,
        writes: 0n,
      };
      set(io, operation, number);
      devices.set(device, io);
    }
  };
  each(bytes, (io, operation, value) => {
    if (operation === "Read") io.readBytes = value;
    if (operation === "Write") io.writeBytes = value;
  });
  each(operations, (io, operation, value) => {
    if (operation === "Read") io.reads = value;
    if (operation === "Write") io.writes = value;
  });
  return [...devices.values()];
}
