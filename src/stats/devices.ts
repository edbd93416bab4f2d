import { readlinkSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { basename } from "node:path";

/** Names of block devices by number; they stay for the life of the machine's disks. */
export class DeviceNames {
  readonly #names = new Map<string, string>();

  /** "/dev/sda"; "" for one that the kernel does not name. */
  of(major: string | number, minor: string | number): string {
    const key = `${major}:${minor}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      try {
        name = `/dev/${basename(readlinkSync(`/sys/dev/block/${key}`))}`;
      } catch {
        name = "";
      }
      this.#names.set(key, name);
    }
    return name;
  }

  /** The device below a folder. */
  below(folder: string): string {
    const { dev } = statSync(folder);
    return this.of((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00));
  }
}

/** Size of the file system with `folder`, and the device below it. */
export async function fileSystemOf(
  folder: string,
  devices: DeviceNames,
): Promise<{ device: string; bytes: bigint; inodes: bigint; inodesFree: bigint } | undefined> {
  try {
    const { blocks, bsize, files, ffree } = await statfs(folder, { bigint: true });
    return {
      device: devices.below(folder),
      bytes: blocks * bsize,
      inodes: files,
      inodesFree: ffree,
    };
  } catch {
    // Not there before the engine ran for the first time.
    return undefined;
  }
}
