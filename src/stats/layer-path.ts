import { isAbsolute } from "node:path";
import { unescaped } from "../sys/mount-table.ts";
import { readKernelFile } from "./kept-file.ts";

/** One line of mountinfo that mounts an overlay. */
export interface OverlayMount {
  mountPoint: string;
  upperDir: string | undefined;
  lowerDirs: string[];
}

/** Overlay mounts in the mount namespace of a process. */
export function overlayMounts(pid: number | "self", proc = "/proc"): OverlayMount[] {
  const found: OverlayMount[] = [];
  for (const line of (readKernelFile(`${proc}/${pid}/mountinfo`) ?? "").split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    if (!after.startsWith("overlay ")) continue;
    const mountPoint = unescaped(before.split(" ")[4] ?? "");
    const options = after.split(" ")[2] ?? "";
    found.push({
      mountPoint,
      upperDir: optionOf(options, "upperdir"),
      lowerDirs: (optionOf(options, "lowerdir") ?? "").split(":"),
    });
  }
  return found;
}

/**
 * The folder that holds what a running container wrote, where the engine does not tell (containerd's
 * image store): its root mount's own option.
 */
export function upperDirOf(pid: number, proc = "/proc"): string | undefined {
  const root = overlayMounts(pid, proc).findLast(({ mountPoint }) => mountPoint === "/");
  // Mounted from a relative path when the options were too long for one page: not to be found again.
  return root?.upperDir !== undefined && isAbsolute(root.upperDir) ? root.upperDir : undefined;
}

function optionOf(options: string, key: string): string | undefined {
  const option = options.split(",").find((part) => part.startsWith(`${key}=`));
  return option === undefined ? undefined : unescaped(option.slice(key.length + 1));
}
