import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A folder whose mounts propagate, as the node's root does where systemd set it up. */
export function makeSharedFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  execFileSync("mount", ["--bind", folder, folder]);
  execFileSync("mount", ["--make-private", folder]);
  execFileSync("mount", ["--make-shared", folder]);
}

/** Unmounts it with everything below and removes it. */
export function removeSharedFolder(folder: string): void {
  for (const point of mountPointsBelow(folder).reverse()) {
    execFileSync("umount", ["--lazy", point]);
  }
  rmSync(folder, { recursive: true, force: true });
}

export function mountPointsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point === folder || point.startsWith(`${folder}/`));
}

/** What `$SRC` holds before a plan runs. */
export function writeSources(folder: string): void {
  const path = (name: string): string => join(folder, name);
  mkdirSync(path("dir/inner"), { recursive: true });
  writeFileSync(path("dir/a"), "a\n");
  mkdirSync(path("other"));
  writeFileSync(path("other/b"), "b\n");
  mkdirSync(path("private"), { mode: 0o700 });
  mkdirSync(path("with blank, comma:colon"));
  writeFileSync(path("file"), "of the node\n", { mode: 0o640 });
  writeFileSync(path("hosts"), "127.0.0.1 localhost\n10.0.0.1 of-the-kubelet\n");
  writeFileSync(path("termination"), "");
  symlinkSync("dir", path("link"));
  symlinkSync(path("file"), path("absolute-link"));
  symlinkSync("link", path("link-to-link"));
  symlinkSync("nowhere", path("dangling"));
  symlinkSync("loop", path("loop"));
  mkdirSync(path("tree/below"), { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "below", path("tree/below")]);
  writeFileSync(
    path("seccomp.json"),
    JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["acct"], action: "SCMP_ACT_ERRNO" }],
    }),
  );
}

/** A container that ends late may hold a mount of its own below for a moment. */
export function removeSources(folder: string): void {
  for (const point of mountPointsBelow(folder).reverse()) {
    execFileSync("umount", ["--lazy", point]);
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 8 });
}
