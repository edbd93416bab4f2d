import { join } from "node:path";
import { containerPart } from "../sys/process-tree.ts";
import { readKernelFile } from "./kept-file.ts";

/** Where a process's cgroups are in the file system. */
export interface CgroupFolders {
  /** Path below the mount point, the same in every hierarchy that Docker uses. */
  path: string;
  /** Folder for each v1 controller; empty on cgroup v2. */
  v1: Record<string, string>;
  /** Folder in the unified hierarchy: cgroup v2, or the pressure files of a v1 host. */
  unified: string | undefined;
}

/** Mount points of the hierarchies. */
export interface CgroupMounts {
  v1: Record<string, string>;
  unified: string | undefined;
}

/** From `/proc/self/mountinfo`; the first mount of each hierarchy's root counts. */
export function readCgroupMounts(proc = "/proc"): CgroupMounts {
  const mounts: CgroupMounts = { v1: {}, unified: undefined };
  for (const line of (readKernelFile(join(proc, "self/mountinfo")) ?? "").split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root, mountPoint] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    // A bind mount of some cgroup (a container's own) is not the hierarchy.
    if (root !== "/" || mountPoint === undefined) continue;
    if (type === "cgroup2") mounts.unified ??= mountPoint;
    if (type === "cgroup") {
      for (const option of options.split(",")) mounts.v1[option] ??= mountPoint;
    }
  }
  return mounts;
}

/**
 * The cgroups of container `id`, found through its first process. That process may sit in a cgroup
 * of its own making below the container's (systemd in a container), hence the cut after the id.
 * Undefined when the pid belongs to something else by now, or to a process that is ending.
 */
export function cgroupFoldersOf(
  mounts: CgroupMounts,
  pid: number,
  id: string,
  proc = "/proc",
): CgroupFolders | undefined {
  const text = readKernelFile(join(proc, String(pid), "cgroup"));
  if (text === undefined) return undefined;
  const folders: CgroupFolders = { path: "", v1: {}, unified: undefined };
  for (const line of text.split("\n")) {
    const [number, controllers = "", ...rest] = line.split(":");
    const path = containerPart(rest.join(":"), id);
    if (path === undefined) continue;
    folders.path = path;
    if (number === "0" && controllers === "") {
      if (mounts.unified !== undefined) folders.unified = join(mounts.unified, path);
      continue;
    }
    for (const controller of controllers.split(",")) {
      const mount = mounts.v1[controller];
      if (mount !== undefined) folders.v1[controller] = join(mount, path);
    }
  }
  // A process that ends leaves its cgroups one after another.
  const left = ["cpuacct", "memory"].some(
    (controller) => mounts.v1[controller] !== undefined && folders.v1[controller] === undefined,
  );
  return folders.path === "" || left ? undefined : folders;
}

/** The cgroup that contains these, which for a pod's containers is the pod's. */
export function parentFolders(folders: CgroupFolders): CgroupFolders {
  return {
    path: join(folders.path, ".."),
    v1: Object.fromEntries(
      Object.entries(folders.v1).map(([controller, folder]) => [controller, join(folder, "..")]),
    ),
    unified: folders.unified === undefined ? undefined : join(folders.unified, ".."),
  };
}
