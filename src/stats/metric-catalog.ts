/** One series of `/metrics/cadvisor` as dashboards know it. */
export interface MetricSeries {
  name: string;
  help: string;
  type: "counter" | "gauge";
  /** Label keys behind the common ones. */
  labels: readonly string[];
}

/** Labels of every series, as the kubelet's cAdvisor gives them. */
export const commonLabels = ["id", "name", "image", "container", "pod", "namespace"] as const;

const counter = (name: string, help: string, ...labels: string[]): MetricSeries => ({
  name: `container_${name}`,
  help,
  type: "counter",
  labels,
});
const gauge = (name: string, help: string, ...labels: string[]): MetricSeries => ({
  ...counter(name, help, ...labels),
  type: "gauge",
});

/**
 * Every series that ListPodSandboxMetrics gives; the kubelet asks for this list once and drops what
 * is not in it. Values are whole numbers on the wire: seconds lose their fraction.
 */
export const metricCatalog = [
  counter(
    "blkio_device_usage_total",
    "Bytes read from and written to a block device.",
    "device",
    "major",
    "minor",
    "operation",
  ),
  counter("cpu_cfs_periods_total", "CPU quota periods that have passed."),
  counter("cpu_cfs_throttled_periods_total", "CPU quota periods in which the quota ran out."),
  counter("cpu_cfs_throttled_seconds_total", "Seconds spent waiting for the next quota period."),
  counter("cpu_system_seconds_total", "Seconds of CPU time in the kernel."),
  counter("cpu_usage_seconds_total", "Seconds of CPU time on all cores.", "cpu"),
  counter("cpu_user_seconds_total", "Seconds of CPU time outside of the kernel."),
  gauge("file_descriptors", "Open file descriptors of all processes."),
  gauge("fs_inodes_free", "Free inodes of the file system with the writable layer.", "device"),
  gauge("fs_inodes_total", "Inodes of the file system with the writable layer.", "device"),
  gauge("fs_limit_bytes", "Size of the file system with the writable layer.", "device"),
  counter("fs_reads_bytes_total", "Bytes read from a block device.", "device"),
  counter("fs_reads_total", "Read operations on a block device.", "device"),
  gauge("fs_usage_bytes", "Bytes that the writable layer takes on disk.", "device"),
  counter("fs_writes_bytes_total", "Bytes written to a block device.", "device"),
  counter("fs_writes_total", "Write operations on a block device.", "device"),
  gauge("hugetlb_max_usage_bytes", "Most bytes of huge pages used so far.", "pagesize"),
  gauge("hugetlb_usage_bytes", "Bytes of huge pages in use.", "pagesize"),
  gauge("last_seen", "When the figures were read, seconds since 1970."),
  gauge("memory_cache", "Bytes of the page cache."),
  counter("memory_failcnt", "Times that memory use met the limit."),
  counter("memory_failures_total", "Page faults.", "failure_type", "scope"),
  gauge("memory_kernel_usage", "Bytes of kernel memory."),
  gauge("memory_mapped_file", "Bytes of mapped files."),
  gauge("memory_max_usage_bytes", "Most bytes used so far."),
  gauge("memory_rss", "Bytes of anonymous memory."),
  gauge("memory_swap", "Bytes in swap."),
  gauge("memory_total_active_file_bytes", "Bytes of the page cache that were used again lately."),
  gauge("memory_total_inactive_file_bytes", "Bytes of the page cache that the kernel takes first."),
  gauge("memory_usage_bytes", "Bytes in use, all caches included."),
  gauge("memory_working_set_bytes", "Bytes in use without the inactive file cache."),
  counter("network_receive_bytes_total", "Bytes received.", "interface"),
  counter("network_receive_errors_total", "Errors while receiving.", "interface"),
  counter("network_receive_packets_dropped_total", "Packets dropped while receiving.", "interface"),
  counter("network_receive_packets_total", "Packets received.", "interface"),
  counter("network_transmit_bytes_total", "Bytes sent.", "interface"),
  counter("network_transmit_errors_total", "Errors while sending.", "interface"),
  counter("network_transmit_packets_dropped_total", "Packets dropped while sending.", "interface"),
  counter("network_transmit_packets_total", "Packets sent.", "interface"),
  counter("oom_events_total", "Processes killed for want of memory."),
  counter(
    "pressure_cpu_stalled_seconds_total",
    "Seconds in which no task could run for want of CPU.",
  ),
  counter("pressure_cpu_waiting_seconds_total", "Seconds in which some task waited for a CPU."),
  counter("pressure_io_stalled_seconds_total", "Seconds in which all tasks waited for a disk."),
  counter("pressure_io_waiting_seconds_total", "Seconds in which some task waited for a disk."),
  counter("pressure_memory_stalled_seconds_total", "Seconds in which all tasks waited for memory."),
  counter("pressure_memory_waiting_seconds_total", "Seconds in which some task waited for memory."),
  gauge("processes", "Processes."),
  gauge("sockets", "Open sockets of all processes."),
  gauge("spec_cpu_period", "Length of a CPU quota period in microseconds."),
  gauge("spec_cpu_quota", "CPU quota in microseconds for each period."),
  gauge("spec_cpu_shares", "CPU shares."),
  gauge("spec_memory_limit_bytes", "Memory limit; 0 is none."),
  gauge("spec_memory_reservation_limit_bytes", "Memory reservation; 0 is none."),
  gauge(
    "spec_memory_swap_limit_bytes",
    "Limit of swap (cgroup v1: of memory and swap together); 0 is none.",
  ),
  gauge("start_time_seconds", "When it was started, seconds since 1970."),
  gauge("threads", "Tasks."),
  gauge("threads_max", "Most tasks allowed; 0 is no limit."),
  gauge("ulimits_soft", "Soft limits of the first process.", "ulimit"),
] as const satisfies readonly MetricSeries[];
