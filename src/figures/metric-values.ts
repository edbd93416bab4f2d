import type { CgroupDetails, CgroupFigures, DeviceIo, Psi } from "../stats/figures.ts";
import type { LayerSize } from "../stats/layer-sizes.ts";
import type { NetworkFigures } from "../stats/net-dev.ts";
import type { ProcessFigures } from "../stats/process-figures.ts";
import type { MetricWriter } from "./metric-writer.ts";

const nsPerSecond = 1_000_000_000n;

/** The series that every cgroup has. */
export function cgroupMetrics(
  out: MetricWriter,
  figures: CgroupFigures,
  details: CgroupDetails,
): void {
  out.add("container_cpu_usage_seconds_total", seconds(figures.cpuUsageNs), "total");
  out.add("container_cpu_user_seconds_total", seconds(details.cpuUserNs));
  out.add("container_cpu_system_seconds_total", seconds(details.cpuSystemNs));
  out.add("container_cpu_cfs_periods_total", details.cfsPeriods);
  out.add("container_cpu_cfs_throttled_periods_total", details.cfsThrottledPeriods);
  out.add("container_cpu_cfs_throttled_seconds_total", seconds(details.cfsThrottledNs));
  out.add("container_last_seen", figures.atNs / nsPerSecond);
  out.add("container_threads", figures.pids);
  out.add("container_threads_max", details.pidsMax);
  out.add("container_oom_events_total", details.oomKills);
  memoryMetrics(out, figures, details);
  specMetrics(out, details);
  pressureMetrics(out, "cpu", figures.cpuPsi);
  pressureMetrics(out, "memory", figures.memoryPsi);
  pressureMetrics(out, "io", figures.ioPsi);
  for (const { pageSize, usageBytes, maxUsageBytes } of details.hugetlb) {
    out.add("container_hugetlb_usage_bytes", usageBytes, pageSize);
    out.add("container_hugetlb_max_usage_bytes", maxUsageBytes, pageSize);
  }
}

function memoryMetrics(out: MetricWriter, figures: CgroupFigures, details: CgroupDetails): void {
  const { memory, swap } = figures;
  out.add("container_memory_usage_bytes", memory?.usageBytes);
  out.add("container_memory_working_set_bytes", memory?.workingSetBytes);
  out.add("container_memory_rss", memory?.rssBytes);
  // Without swap accounting there is nothing in swap that would be known of.
  out.add("container_memory_swap", swap?.usageBytes ?? 0n);
  out.add("container_memory_cache", details.cacheBytes);
  out.add("container_memory_mapped_file", details.mappedFileBytes);
  out.add("container_memory_total_active_file_bytes", details.activeFileBytes);
  out.add("container_memory_total_inactive_file_bytes", details.inactiveFileBytes);
  out.add("container_memory_kernel_usage", details.kernelBytes);
  out.add("container_memory_max_usage_bytes", details.maxUsageBytes);
  out.add("container_memory_failcnt", details.failures);
  const faults = (type: string, scope: string, value: bigint | undefined): void =>
    out.add("container_memory_failures_total", value, type, scope);
  faults("pgfault", "container", details.ownPageFaults);
  faults("pgmajfault", "container", details.ownMajorPageFaults);
  faults("pgfault", "hierarchy", memory?.pageFaults);
  faults("pgmajfault", "hierarchy", memory?.majorPageFaults);
}

function specMetrics(out: MetricWriter, details: CgroupDetails): void {
  out.add("container_spec_cpu_period", details.cpuPeriodUs);
  out.add("container_spec_cpu_quota", details.cpuQuotaUs);
  out.add("container_spec_cpu_shares", details.cpuShares);
  out.add("container_spec_memory_limit_bytes", details.memoryLimitBytes);
  out.add("container_spec_memory_reservation_limit_bytes", details.memoryReservationBytes);
  out.add("container_spec_memory_swap_limit_bytes", details.memorySwapLimitBytes ?? 0n);
}

function pressureMetrics(
  out: MetricWriter,
  resource: "cpu" | "memory" | "io",
  psi: Psi | undefined,
): void {
  const whole = (us: bigint | undefined): bigint | undefined =>
    us === undefined ? undefined : us / 1_000_000n;
  out.add(`container_pressure_${resource}_waiting_seconds_total`, whole(psi?.some?.totalUs));
  out.add(`container_pressure_${resource}_stalled_seconds_total`, whole(psi?.full?.totalUs));
}

/** What only a container has: processes, disks, its start. */
export function containerMetrics(
  out: MetricWriter,
  details: CgroupDetails,
  own: {
    processes: ProcessFigures;
    startedAtNs: bigint;
    deviceName: (major: string, minor: string) => string;
  },
): void {
  const { processes, startedAtNs, deviceName } = own;
  out.add("container_processes", BigInt(processes.processes));
  out.add("container_file_descriptors", BigInt(processes.fileDescriptors));
  out.add("container_sockets", BigInt(processes.sockets));
  out.add("container_ulimits_soft", processes.openFilesSoft, "max_open_files");
  if (startedAtNs > 0n) out.add("container_start_time_seconds", startedAtNs / nsPerSecond);
  const disks = new Map<string, Pick<DeviceIo, "readBytes" | "writeBytes" | "reads" | "writes">>();
  for (const { major, minor, ...io } of details.io) {
    const device = deviceName(major, minor);
    const before = disks.get(device) ?? { readBytes: 0n, writeBytes: 0n, reads: 0n, writes: 0n };
    disks.set(device, {
      readBytes: before.readBytes + io.readBytes,
      writeBytes: before.writeBytes + io.writeBytes,
      reads: before.reads + io.reads,
      writes: before.writes + io.writes,
    });
    const blkio = (operation: string, value: bigint): void =>
      out.add("container_blkio_device_usage_total", value, device, major, minor, operation);
    blkio("Read", io.readBytes);
    blkio("Write", io.writeBytes);
  }
  // Those without a name are one series: the kubelet's page takes none twice.
  for (const [device, { readBytes, writeBytes, reads, writes }] of disks) {
    out.add("container_fs_reads_bytes_total", readBytes, device);
    out.add("container_fs_writes_bytes_total", writeBytes, device);
    out.add("container_fs_reads_total", reads, device);
    out.add("container_fs_writes_total", writes, device);
  }
}

/** The file system that the writable layer is on. */
export interface LayerFs {
  device: string;
  bytes: bigint;
  inodes: bigint;
  inodesFree: bigint;
}

export function layerMetrics(out: MetricWriter, fs: LayerFs, layer: LayerSize | undefined): void {
  out.add("container_fs_limit_bytes", fs.bytes, fs.device);
  out.add("container_fs_inodes_total", fs.inodes, fs.device);
  out.add("container_fs_inodes_free", fs.inodesFree, fs.device);
  out.add("container_fs_usage_bytes", layer?.usedBytes, fs.device);
}

export function networkMetrics(out: MetricWriter, network: NetworkFigures): void {
  for (const each of network.interfaces) {
    out.add("container_network_receive_bytes_total", each.rxBytes, each.name);
    out.add("container_network_receive_errors_total", each.rxErrors, each.name);
    out.add("container_network_receive_packets_total", each.rxPackets, each.name);
    out.add("container_network_receive_packets_dropped_total", each.rxDropped, each.name);
    out.add("container_network_transmit_bytes_total", each.txBytes, each.name);
    out.add("container_network_transmit_errors_total", each.txErrors, each.name);
    out.add("container_network_transmit_packets_total", each.txPackets, each.name);
    out.add("container_network_transmit_packets_dropped_total", each.txDropped, each.name);
  }
}

function seconds(ns: bigint | undefined): bigint | undefined {
  return ns === undefined ? undefined : ns / nsPerSecond;
}
