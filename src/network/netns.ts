import { statSync, statfsSync } from "node:fs";
import { stat, statfs } from "node:fs/promises";
import { isErrno } from "../sys/fs.ts";

/**
 * `gone` covers what Docker leaves behind for a moment: the empty file that the namespace was bound
 * to. `host` is what a pid path becomes when its pid is used again by a process of the host; a
 * plugin that gets it takes the host's own interfaces down.
 */
export type NetnsState = "pod" | "host" | "gone";

/** Where a namespace is: a path, or what finds it at the moment of the call. "" when it is gone. */
export type NetnsNow = string | (() => Promise<string>);

export async function pathNow(netns: NetnsNow): Promise<string> {
  return typeof netns === "string" ? netns : await netns();
}

const nsfsMagic = 0x6e736673;

/** True for a path that leads to a namespace now, not to the empty file that one was bound to. */
export function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === nsfsMagic;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ESRCH", "EINVAL")) return false;
    throw error;
  }
}

/** What tells one namespace from another one while both are there; undefined when nothing is at the path. */
export async function netnsInode(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ESRCH")) return undefined;
    throw error;
  }
}

/** The same at once, for a look in the middle of an answer; undefined whatever goes wrong. */
export function netnsInodeNow(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** What is at the path of a pod's network namespace now. */
export async function inspectNetns(path: string): Promise<NetnsState> {
  if (path === "") return "gone";
  try {
    const filesystem = await statfs(path);
    if (filesystem.type !== nsfsMagic) return "gone";
    const [pod, own] = await Promise.all([
      stat(path, { bigint: true }),
      stat("/proc/self/ns/net", { bigint: true }),
    ]);
    return pod.ino === own.ino && pod.dev === own.dev ? "host" : "pod";
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ESRCH", "EINVAL")) return "gone";
    throw error;
  }
}
