import { unescaped } from "../sys/mount-table.ts";

/** Whether what is mounted below a mount later appears in its copies, and the other way round. */
export type Propagation = "private" | "slave" | "shared";

/**
 * Of the mount that a path of the node is on.
 *
 * @param mountinfo text of /proc/self/mountinfo (proc(5))
 */
export function propagationOf(mountinfo: string, path: string): Propagation {
  let longest = "";
  let found: Propagation = "private";
  for (const line of mountinfo.split("\n")) {
    const separator = line.indexOf(" - ");
    if (separator === -1) continue;
    const [, , , , escaped = "", , ...tags] = line.slice(0, separator).split(" ");
    const point = unescaped(escaped);
    const holds = point === "/" || path === point || path.startsWith(`${point}/`);
    // Of two at one place the later one is on top.
    if (!holds || point.length < longest.length) continue;
    longest = point;
    if (tags.some((tag) => tag.startsWith("shared:"))) found = "shared";
    else found = tags.some((tag) => tag.startsWith("master:")) ? "slave" : "private";
  }
  return found;
}

/** Whether a file system of a type is mounted anywhere. */
export function isMounted(mountinfo: string, type: string): boolean {
  return mountinfo.includes(` - ${type} `);
}
