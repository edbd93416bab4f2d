import type { DiskFacts, NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** The kubelet's default thresholds for hard eviction; and what is too little for anything. */
const least = { imageBytes: 0.15, nodeBytes: 0.1, inodes: 0.05 };
const nothingShare = 0.02;

export function checkDisks({ disks }: NodeFacts): Finding[] {
  if (disks.length === 0) return [skipped("disk", "no folder to look at")];
  return disks.map(checkDisk);
}

function checkDisk(disk: DiskFacts): Finding {
  const check = "disk";
  const where = `${disk.what} (${disk.path})`;
  if (disk.readOnly) {
    return error(
      check,
      `${where} is on a file system that is mounted read-only`,
      "nothing can be created or removed; the kernel does this after a disk error",
      "dmesg | grep -iE 'remount|I/O error'",
      "mount -o remount,rw MOUNTPOINT",
    );
  }
  const mend = disk.images
    ? [
        "docker image prune -a   # images that no container uses",
        `du -xh -d2 ${disk.path} | sort -h | tail`,
      ]
    : [`du -xh -d2 ${disk.path} | sort -h | tail`];
  const bytes = `${percent(disk.freeBytesShare)} free (${size(disk.freeBytes)})`;
  const needed = disk.images ? least.imageBytes : least.nodeBytes;
  const few = disk.freeInodesShare;
  if (few !== undefined && few < least.inodes) {
    return (few < nothingShare ? error : warning)(
      check,
      `${where} has ${percent(few)} of its inodes left, though ${bytes}`,
      `the kubelet evicts pods below ${percent(least.inodes)}; without inodes no file can be made`,
      ...mend,
    );
  }
  if (disk.freeBytesShare < needed) {
    return (disk.freeBytesShare < nothingShare ? error : warning)(
      check,
      `${where} is nearly full: ${bytes}`,
      `the kubelet evicts pods and removes images below ${percent(needed)}; on a full disk no ` +
        "container can be made and logs stop",
      ...mend,
    );
  }
  const inodes = few === undefined ? "" : `, ${percent(few)} of inodes`;
  return ok(check, `${where}: ${bytes}${inodes}`);
}

const percent = (share: number): string =>
  share > 0 && share < 0.01 ? "<1 %" : `${Math.floor(share * 100)} %`;

function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** at).toFixed(at === 0 ? 0 : 1)} ${units[at] ?? ""}`;
}
