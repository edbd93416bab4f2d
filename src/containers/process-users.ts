import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { ProcessIds } from "../convert/container-out.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { KnownUsers } from "../state/known-users.ts";
import { inContainer, readProcess } from "../sys/process-tree.ts";

/** Ids of an OCI spec; others than these are none. */
const maxId = 2 ** 32 - 2;

/**
 * ContainerStatus.user: the ids that a container's first process began with, which is what its OCI spec
 * says. The process itself may have changed them since (an entrypoint that gives up root), and in a user
 * namespace it shows the node's ids to whoever looks from outside.
 */
export class ProcessUsers {
  readonly #known: Pick<KnownUsers, "get" | "add">;
  readonly #byId = new Map<string, ProcessIds>();
  /** Running containers without a spec that can be read, by the pid that was tried. */
  readonly #tried = new Map<string, number>();
  readonly #taught = new Set<string>();
  /** Where bundles are, by container id; the engine's API does not say, a shim's folder does. */
  #bundles: string | undefined;

  constructor(known: Pick<KnownUsers, "get" | "add">) {
    this.#known = known;
  }

  /** Synchronous, and cheap for a container that was asked for before. */
  of(entry: ContainerEntry): ProcessIds | undefined {
    const known = this.#byId.get(entry.id);
    if (known !== undefined) {
      this.#teach(entry, known);
      return known;
    }
    const pid = entry.state.Running ? entry.state.Pid : 0;
    const found =
      pid > 0 && this.#tried.get(entry.id) !== pid
        ? (this.#fromBundle(pid, entry.id) ?? this.#ofItsKind(entry) ?? fromProc(pid, entry.id))
        : this.#ofItsKind(entry);
    if (found === undefined) {
      if (pid > 0) this.#tried.set(entry.id, pid);
      return undefined;
    }
    if (pid > 0) this.#keep(entry, found);
    return found;
  }

  /** Of a container that was just started and may be gone before anybody asks for its status. */
  started(entry: ContainerEntry): void {
    if (this.#bundles === undefined || this.#byId.has(entry.id)) return;
    const found = readSpec(join(this.#bundles, entry.id));
    if (found !== undefined) this.#keep(entry, found);
  }

  /** What was worked out of a container whose OCI spec was gone before it could be read. */
  resolved(entry: ContainerEntry, ids: ProcessIds): void {
    if (!this.#byId.has(entry.id)) this.#keep(entry, ids);
  }

  /** Learns of a running container where the engine keeps bundles. */
  learn(pid: number, containerId: string): void {
    if (this.#bundles === undefined && pid > 0) this.#fromBundle(pid, containerId);
  }

  forget(containerId: string): void {
    this.#byId.delete(containerId);
    this.#tried.delete(containerId);
    this.#taught.delete(containerId);
  }

  #keep(entry: ContainerEntry, ids: ProcessIds): void {
    this.#byId.set(entry.id, ids);
    this.#teach(entry, ids);
  }

  /** Once for each container, as soon as it has been inspected. */
  #teach(entry: ContainerEntry, ids: ProcessIds): void {
    if (this.#taught.has(entry.id)) return;
    const key = kindOf(entry);
    if (key === undefined) return;
    this.#taught.add(entry.id);
    this.#known.add(key, ids);
  }

  #ofItsKind(entry: ContainerEntry): ProcessIds | undefined {
    const key = kindOf(entry);
    return key === undefined ? undefined : this.#known.get(key);
  }

  #fromBundle(pid: number, containerId: string): ProcessIds | undefined {
    if (!inContainer(pid, containerId)) return undefined;
    const shim = readProcess(pid)?.parent ?? 0;
    if (shim < 2) return undefined;
    // One shim may serve a pod: its own folder is then another container's.
    const found = readSpec(`/proc/${shim}/cwd/../${containerId}`);
    if (found === undefined) return undefined;
    try {
      this.#bundles = join(readlinkSync(`/proc/${shim}/cwd`), "..");
    } catch {
      // It ended meanwhile; another container will tell.
    }
    return found;
  }
}

/** Containers of one kind get the same ids: Docker resolves the same names in the same files. */
export function kindOf({ inspect, imageId }: ContainerEntry): string | undefined {
  if (inspect === undefined) return undefined;
  const groups = [...(inspect.HostConfig.GroupAdd ?? [])].sort();
  return [imageId, inspect.Config.User, ...groups].join(" ");
}

/** `process.user` of a bundle's config.json; a ".." in the path is the kernel's to resolve. */
function readSpec(bundle: string): ProcessIds | undefined {
  try {
    const { process } = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8")) as {
      process?: { user?: { uid?: unknown; gid?: unknown; additionalGids?: unknown } };
    };
    const { uid = 0, gid = 0, additionalGids } = process?.user ?? {};
    const groups: unknown[] = Array.isArray(additionalGids) ? additionalGids : [];
    if (process === undefined || ![uid, gid, ...groups].every(isId)) return undefined;
    return {
      uid: BigInt(uid as number),
      gid: BigInt(gid as number),
      supplementalGroups: groups.map((group) => BigInt(group as number)),
    };
  } catch {
    // Another engine's layout, or the container has ended.
    return undefined;
  }
}

const isId = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxId;

/** The process's own ids, as its user namespace has them: all there is where no spec can be read. */
function fromProc(pid: number, containerId: string): ProcessIds | undefined {
  try {
    if (!inContainer(pid, containerId)) return undefined;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const numbers = (key: string): number[] =>
      (new RegExp(`^${key}:(.*)$`, "m").exec(status)?.[1] ?? "")
        .split(/\s+/)
        .filter((text) => text !== "")
        .map(Number);
    const toInside = (map: string): ((id: number) => bigint) => insideOf(`/proc/${pid}/${map}`);
    const [uid, gid] = [numbers("Uid")[0], numbers("Gid")[0]];
    if (uid === undefined || gid === undefined) return undefined;
    const groupInside = toInside("gid_map");
    return {
      uid: toInside("uid_map")(uid),
      gid: groupInside(gid),
      supplementalGroups: numbers("Groups").map(groupInside),
    };
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}

/** From the ids that we see to those of the process's user namespace, by its map file. */
function insideOf(mapFile: string): (id: number) => bigint {
  const ranges = readFileSync(mapFile, "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((range) => range.length === 3);
  return (id) => {
    for (const [inside = 0, outside = 0, length = 0] of ranges) {
      if (id >= outside && id < outside + length) return BigInt(id - outside + inside);
    }
    return BigInt(id);
  };
}
