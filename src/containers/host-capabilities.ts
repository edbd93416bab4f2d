import { readFileSync } from "node:fs";

/** In the order of their bits in /proc/<pid>/status. */
const names =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE".split(
    " ",
  );

/**
 * Capabilities outside of this node's bounding set: a nested or locked-down host lacks some, and
 * then nothing below it, the engine included, can have them. Those the kernel does not know at all
 * are not counted. It is init's set that is read: our own unit leaves Dockline less than the engine
 * has, and a drop left out for that reason would give the container what it was to lose.
 */
export function missingCapabilities(initStatusFile = "/proc/1/status"): string[] {
  const bounding = boundingSet(initStatusFile);
  const last = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return names.filter((_, bit) => bit <= last && (bounding & (1n << BigInt(bit))) === 0n);
}

/** The bounding set in a /proc/<pid>/status, a bit for each capability. */
export function boundingSet(statusFile: string): bigint {
  const status = readFileSync(statusFile, "utf8");
  return BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
}
