/** What the kubelet sends as masked and write-protected paths for an ordinary pod. */
export const kubeletPaths = {
  maskedPaths: [
    ...["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys"],
    ...["/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug"],
    ...["/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"],
  ],
  readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
};
