import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TestNode } from "./node.ts";

/** What a node must look like again when a test is over. */
export interface NodeState {
  containers: string[];
  netns: string[];
  mounts: string[];
  links: string[];
  addresses: string[];
  records: string[];
  logPositions: string[];
  /** Open files of Dockline by what they are, without the sockets of connections that come and go. */
  files: string[];
}

/** Other engines of the machine come and go by themselves: only this one's folders are looked at. */
function foldersOf(upstream: string): string[] {
  const folder = dirname(upstream);
  return folder === "/var/run" || folder === "/run"
    ? ["/var/lib/docker/", "/run/docker/", "/var/run/docker/"]
    : [`${folder}/`];
}

export function docker(socket: string, ...args: string[]): string {
  return execFileSync("docker", ["-H", `unix://${socket}`, ...args], { encoding: "utf8" });
}

const dataRoots = new Map<string, string>();

/** Containers and volumes by their folders in the engine's data root: asked 800 times in a run. */
export function engineObjects(socket: string): string[] {
  const dataRoot =
    dataRoots.get(socket) ?? docker(socket, "info", "--format", "{{.DockerRootDir}}").trim();
  dataRoots.set(socket, dataRoot);
  const folders = (name: string): string[] => {
    const folder = join(dataRoot, name);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  };
  return [
    ...folders("containers").map((id) => `container ${id} ${nameOf(dataRoot, id)}`),
    ...folders("volumes").map((name) => `volume ${name}`),
  ];
}

function nameOf(dataRoot: string, containerId: string): string {
  try {
    const path = join(dataRoot, "containers", containerId, "config.v2.json");
    return (JSON.parse(readFileSync(path, "utf8")) as { Name: string }).Name;
  } catch {
    // On its way in or out.
    return "";
  }
}

/** Docker's containers and volumes, namespaces, mounts, links, CNI addresses, records, open files. */
export function nodeState(node: TestNode): NodeState {
  const engineFolders = foldersOf(node.upstream);
  return {
    containers: engineObjects(node.upstream),
    // Docker unmounts its own at once (seen in mounts) but sweeps their files once a minute.
    // "cni-…" are those of other runtimes (containerd) on this machine.
    netns: list("/var/run/netns").filter((name) => !name.startsWith("cni-")),
    mounts: lines(readFileSync("/proc/mounts", "utf8"))
      .map((line) => line.split(" ").slice(1, 3).join(" "))
      .filter((line) => engineFolders.some((folder) => line.startsWith(folder)))
      // Newer engines keep the host's namespace mounted from the first host network container on.
      .filter((line) => !line.includes("/netns/default ")),
    // The bridge itself stays until the node is closed.
    links: list(`/sys/class/net/${node.bridge}/brif`),
    addresses: list(node.addressDir).filter(
      (name) => name !== "lock" && !name.startsWith("last_reserved_ip"),
    ),
    records: [...list(join(node.stateDir, "sandboxes")), ...list(join(node.stateDir, "resources"))],
    logPositions: logPositions(join(node.stateDir, "logs")),
    files: openFiles(node.pid),
  };
}

/** Ids of the containers that have a position, and files beside the journal. */
function logPositions(folder: string): string[] {
  const name = "positions.journal";
  // A file for each container where this release has ended, or an older one runs.
  const others = list(folder)
    .filter((one) => one !== name)
    .map((one) => one.replace(/\.json$/, ""));
  const journal = join(folder, name);
  if (!existsSync(journal)) return others;
  const ids = new Set<string>();
  for (const line of lines(readFileSync(journal, "utf8"))) {
    const [, id = ""] = /^\{"id":"([^"]*)"/.exec(line) ?? [];
    if (line.endsWith(',"gone":true}')) ids.delete(id);
    else if (id !== "") ids.add(id);
  }
  return [...others, ...ids];
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

function openFiles(pid: number): string[] {
  if (pid === 0) return [];
  const links: string[] = [];
  for (const fd of list(`/proc/${pid}/fd`)) {
    try {
      // The number of a pipe says nothing, and is another one after a restart.
      links.push(readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/^pipe:.*/, "pipe"));
    } catch {
      // Closed since the listing.
    }
  }
  // Connections to the engine are pooled: their number follows the load, not a leak.
  // The event loop's own (inotify comes with the first watch and stays) are not leaks either.
  return (
    links
      .filter((link) => !/^(socket:|anon_inode:|\/dev\/)/.test(link))
      // Figures are read from files kept open: only those of a cgroup that is gone are left over.
      .filter((link) => !link.startsWith("/sys/fs/cgroup/") || !existsSync(link))
  );
}
