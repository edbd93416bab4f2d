import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system of a test's own that can be filled up without harm to the machine. */
export interface SmallDisk {
  readonly path: string;
  /** Uses up every block, or with "inodes" every inode. */
  fill(what?: "blocks" | "inodes"): void;
  empty(): void;
  readOnly(on: boolean): void;
  unmount(): void;
}

const withSbin = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };

/** ext4 on a loop device, mounted at `path` (default: a folder of its own). */
export function mountSmallDisk(options: {
  mib: number;
  inodes?: number;
  path?: string;
}): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), "dockline-small-"));
  const image = join(folder, "image");
  const path = options.path ?? join(folder, "disk");
  mkdirSync(path, { recursive: true });
  execFileSync("truncate", ["-s", `${options.mib}M`, image]);
  const count = options.inodes === undefined ? [] : ["-N", String(options.inodes)];
  execFileSync("mkfs.ext4", ["-q", "-m", "0", ...count, image], { env: withSbin, stdio: "ignore" });
  execFileSync("mount", ["-o", "loop", image, path]);
  const filler = join(path, "filler");
  return {
    path,
    fill: (what = "blocks") => {
      mkdirSync(filler);
      if (what === "inodes") {
        try {
          for (let at = 0; ; at += 1) writeFileSync(join(filler, String(at)), "");
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        }
        return;
      }
      // Large blocks first, then down to the last one.
      for (const size of ["1M", "4k", "1"]) {
        execFileSync("sh", [
          "-c",
          `dd if=/dev/zero of="$0/${size}" bs=${size} 2>/dev/null; true`,
          filler,
        ]);
      }
    },
    empty: () => rmSync(filler, { recursive: true, force: true }),
    readOnly: (on) => {
      execFileSync("mount", ["-o", `remount,${on ? "ro" : "rw"}`, path]);
    },
    unmount: () => {
      if (readFileSync("/proc/mounts", "utf8").includes(` ${path} `)) {
        execFileSync("umount", [path]);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
