import { peersOf } from "../sys/mount-table.ts";

/** Whether what is mounted below a mount later appears in its copies, and the other way round. */
export type Propagation = "private" | "slave" | "shared";

/**
 * Of the mount that a path of the node is on.
 *
 * @param mountinfo text of /proc/self/mountinfo (proc(5))
 */
export function propagationOf(mountinfo: string, path: string): Propagation {
  const { shared, master } = peersOf(mountinfo, path);
  if (shared !== undefined) return "shared";
  return master === undefined ? "private" : "slave";
}

/** Whether a file system of a type is mounted anywhere. */
export function isMounted(mountinfo: string, type: string): boolean {
  return mountinfo.includes(` - ${type} `);
}
