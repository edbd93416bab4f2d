import { expect } from "chai";
import { metricCatalog } from "../../../src/stats/metric-catalog.ts";

/** What the CRI's validation suite looks for, and what containerd and cAdvisor have beside that. */
const expected = `
blkio_device_usage_total cpu_cfs_periods_total cpu_cfs_throttled_periods_total cpu_cfs_throttled_seconds_total
cpu_system_seconds_total cpu_usage_seconds_total cpu_user_seconds_total file_descriptors fs_inodes_free
fs_inodes_total fs_limit_bytes fs_reads_bytes_total fs_reads_total fs_usage_bytes fs_writes_bytes_total
fs_writes_total hugetlb_max_usage_bytes hugetlb_usage_bytes last_seen memory_cache memory_failcnt
memory_failures_total memory_kernel_usage memory_mapped_file memory_max_usage_bytes memory_rss memory_swap
memory_total_active_file_bytes memory_total_inactive_file_bytes memory_usage_bytes memory_working_set_bytes network_receive_bytes_total network_receive_errors_total
network_receive_packets_dropped_total network_receive_packets_total network_transmit_bytes_total
network_transmit_errors_total network_transmit_packets_dropped_total network_transmit_packets_total
oom_events_total pressure_cpu_stalled_seconds_total pressure_cpu_waiting_seconds_total
pressure_io_stalled_seconds_total pressure_io_waiting_seconds_total pressure_memory_stalled_seconds_total
pressure_memory_waiting_seconds_total processes sockets spec_cpu_period spec_cpu_quota spec_cpu_shares
spec_memory_limit_bytes spec_memory_reservation_limit_bytes spec_memory_swap_limit_bytes start_time_seconds
threads threads_max ulimits_soft`;

describe("the catalogue of series", () => {
  it("has each of the 58 names once, with a help text", () => {
    const names = metricCatalog.map(({ name }) => name.replace("container_", ""));
    expect(names.toSorted()).to.deep.equal(expected.trim().split(/\s+/).toSorted());
    expect(new Set(names).size).to.equal(58);
    for (const { help } of metricCatalog) expect(help).to.match(/^[A-Z].*\.$/);
  });

  it("calls a series a counter exactly where its name says so", () => {
    for (const { name, type } of metricCatalog) {
      const counts =
        (name.endsWith("_total") && name !== "container_fs_inodes_total") ||
        name === "container_memory_failcnt";
      expect(type, name).to.equal(counts ? "counter" : "gauge");
    }
  });
});
