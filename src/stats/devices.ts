import { readlinkSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { basename, join } from "node:path";

/**
 * "/dev/sda"; "" for one that the kernel does not name. Asked each time: when a volume is detached, its
 * number is the next one's.
 */
export function deviceName(major: string, minor: string, folder = "/sys/dev/block"): string {
  try {
    return `/dev/${basename(readlinkSync(join(folder, `${major}:${minor}`)))}`;
  } catch {
    return "";
  }
}

/** The device below a folder. */
function deviceBelow(folder: string): string {
  const { dev } = statSync(folder);
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  return deviceName(String(major), String(minor));
}

/** Size of the file system with `folder`, and the device below it. */
export async function fileSystemOf(
  folder: string,
): Promise<{ device: string; bytes: bigint; inodes: bigint; inodesFree: bigint } | undefined> {
  try {
    const { blocks, bsize, files, ffree } = await statfs(folder, { bigint: true });
    return {
      device: deviceBelow(folder),
      bytes: blocks * bsize,
      inodes: files,
      inodesFree: ffree,
    };
  } catch {
    // Not there before the engine ran for the first time.
    return undefined;
  }
}
