import { readFileSync, readlinkSync } from "node:fs";
import { peersOf } from "../../sys/mount-table.ts";
import type { Peers } from "../../sys/mount-table.ts";
import type { DockerMountFacts } from "./facts.ts";

/** What the kubelet mounts for pods is below it. */
const kubeletFolder = "/var/lib/kubelet";

/** A process's mounts beside those of `node`, a folder of /proc; undefined where this user may not look. */
export function readDockerMounts(pid: number, node = nodeFolder()): DockerMountFacts | undefined {
  try {
    const own = `/proc/${pid}`;
    const snap = readlinkSync(`${own}/exe`).startsWith("/snap/");
    if (readlinkSync(`${own}/ns/mnt`) === readlinkSync(`${node}/ns/mnt`)) {
      return { pid, propagation: "shared", snap };
    }
    const [theirs, nodes] = [own, node].map((folder) =>
      peersOf(readFileSync(`${folder}/mountinfo`, "utf8"), kubeletFolder),
    );
    return { pid, propagation: propagationOf(theirs ?? {}, nodes ?? {}), snap };
  } catch {
    // It is gone, or not ours to look at.
    return undefined;
  }
}

/** Init has the node's mounts. Where a machine hides init even from root, whoever asks has them. */
function nodeFolder(): string {
  try {
    readlinkSync("/proc/1/ns/mnt");
    return "/proc/1";
  } catch {
    return "/proc/self";
  }
}

function propagationOf(theirs: Peers, nodes: Peers): DockerMountFacts["propagation"] {
  if (nodes.shared === undefined) return "private";
  if (theirs.shared === nodes.shared) return "shared";
  return theirs.master === nodes.shared ? "slave" : "private";
}
