import { invalidArgument } from "../errors.ts";
import type { Mount } from "../gen/runtime/v1/api_pb.js";
import type { CgroupWrite } from "./cgroup-writes.ts";
import { emptyRecord, quoted } from "./field-checks.ts";
import { effectiveMounts, mountPoint, touchesDataRoot } from "./mount-points.ts";
import { isPodMapping, type PodIds } from "./user-namespace.ts";

/** One change of the OCI spec; paths are JSON pointers. The program's README has the meanings. */
export type OciOperation =
  | { readonly op: "set"; readonly path: string; readonly value: unknown }
  | { readonly op: "append"; readonly path: string; readonly values: readonly unknown[] }
  | { readonly op: "remove"; readonly path: string }
  | { readonly op: "env"; readonly name: string; readonly value: string }
  | {
      readonly op: "mountOptions";
      readonly destination: string;
      readonly add: readonly string[];
      readonly remove: readonly string[];
    }
  | { readonly op: "ambientCapabilities"; readonly add: readonly string[] }
  | { readonly op: "oomScoreAdj"; readonly value: number }
  | { readonly op: "networkNamespace"; readonly path: string }
  | {
      readonly op: "listPut";
      readonly path: string;
      readonly key: string;
      readonly values: readonly Readonly<Record<string, unknown>>[];
      /** Members whose text is an integer beyond what JSON's readers can say. */
      readonly integers?: readonly string[];
    }
  | {
      readonly op: "listDrop";
      readonly path: string;
      readonly key: string;
      readonly names: readonly string[];
    }
  | { readonly op: "envDrop"; readonly name: string }
  | { readonly op: "sortMounts" };

/** The process whose namespace is joined: the pid alone could be another's by then. */
export interface PauseProcess {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat. */
  readonly startTicks: number;
}

/** The file that `dockline-oci` reads, `/run/dockline/oci/<container id>.json`. */
export interface OciEdits {
  readonly v: 1;
  readonly containerId: string;
  readonly merge?: Readonly<Record<string, unknown>>;
  readonly ops?: readonly OciOperation[];
  /** What the real runtime must know, so that it passes over nothing in silence: see `Requirement`. */
  readonly requires?: readonly string[];
  readonly userNamespace?: PodIds & {
    readonly join?: PauseProcess;
    readonly idmapMounts?: readonly { readonly destination: string; readonly optional?: boolean }[];
  };
  readonly cgroupWrites?: readonly CgroupWrite[];
}

export interface OciEditsInput {
  readonly containerId: string;
  readonly cgroupVersion: 1 | 2;
  /** What Docker's API cannot say of resources, from planResources. */
  readonly hostWrites: readonly CgroupWrite[];
  readonly mounts: readonly Mount[];
  /**
   * Whose recursive read-only mounts the edits make: all on engines that cannot (API below 1.44),
   * else those that Docker does not make private, because its data root is in them.
   */
  readonly recursiveReadOnly: "all" | { readonly dataRoot: string };
  /** With or without "CAP_". */
  readonly ambientCapabilities: readonly string[];
  /** From cdiOperations, on engines without CDI. */
  readonly deviceOperations: readonly OciOperation[];
  readonly podIds: PodIds | undefined;
  /** Undefined for the pause container itself, which gets a new namespace. */
  readonly join: PauseProcess | undefined;
  /**
   * Mount points of the volumes that the image declares: Docker fills them with the image's files,
   * whose owners are ids of the container.
   */
  readonly volumes: readonly string[];
}

/** Flags of a bind mount that a request may name, and what each takes the place of. */
const MOUNT_OPTIONS = new Map([
  ["noexec", "exec"],
  ["nosuid", "suid"],
  ["nodev", "dev"],
  ["exec", "noexec"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["nosymfollow", "symfollow"],
  ["noatime", "atime"],
  ["nodiratime", "diratime"],
  ["relatime", "norelatime"],
  ["strictatime", "nostrictatime"],
]);
/** Bytes. Seen with runc 1.3: its init is killed for memory below, and no start succeeds. */
const RUNC_MIN_MEMORY = 5 * 1024 * 1024;
const MEMORY_LIMIT_FILES = ["memory.max", "memory.limit_in_bytes"];
const CAPABILITY = /^(?:CAP_)?[A-Z][A-Z0-9_]{1,40}$/;
/** Docker's own files, bound into every container that does not bring its own. */
const ENGINE_FILES = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/**
 * The edits of a container's spec; undefined when Docker's API says all there is to say, so that the
 * container needs no runtime of ours.
 *
 * @throws InvalidArgument naming the field
 */
export function toOciEdits(input: OciEditsInput): OciEdits | undefined {
  const resources = resourceEdits(input);
  const ops = [...mountOperations(input), ...ambient(input), ...input.deviceOperations];
  const userNamespace = namespaceEdits(input);
  const edits: OciEdits = {
    v: 1,
    containerId: input.containerId,
    ...(resources.merge === undefined ? {} : { merge: resources.merge }),
    ...(ops.length === 0 ? {} : { ops }),
    ...(userNamespace === undefined ? {} : { userNamespace }),
    ...(resources.cgroupWrites.length === 0 ? {} : { cgroupWrites: resources.cgroupWrites }),
  };
  return Object.keys(edits).length > 2 ? edits : undefined;
}

/**
 * In the spec where the runtime has a field: a memory limit must hold before the runtime's own first
 * process is in the cgroup, and under the systemd driver only what runc knows survives a reload.
 * The runtime fails on a missing file, so what may be missing is written afterwards.
 */
function resourceEdits(input: OciEditsInput): {
  merge: Record<string, unknown> | undefined;
  cgroupWrites: CgroupWrite[];
} {
  const unified = emptyRecord();
  const cgroupWrites: CgroupWrite[] = [];
  const later = writesAfterStart(input.hostWrites);
  let limit: number | undefined;
  for (const write of input.hostWrites) {
    if (MEMORY_LIMIT_FILES.includes(write.file)) {
      limit = later.includes(write) ? RUNC_MIN_MEMORY : Number(write.value);
    } else if (later.includes(write)) continue;
    else if (input.cgroupVersion === 2 && !write.optional) unified[write.file] = write.value;
    else cgroupWrites.push(write);
  }
  const resources = {
    ...(limit === undefined ? {} : { memory: { limit } }),
    ...(Object.keys(unified).length === 0 ? {} : { unified }),
  };
  const merge = Object.keys(resources).length === 0 ? undefined : { linux: { resources } };
  return { merge, cgroupWrites };
}

/**
 * What is left to write once the container's own process runs: a memory limit that runc's first
 * process would not survive, with the v1 sum of memory and swap, which may not be below the limit.
 */
export function writesAfterStart(hostWrites: readonly CgroupWrite[]): CgroupWrite[] {
  const limit = hostWrites.find(({ file }) => MEMORY_LIMIT_FILES.includes(file));
  if (limit === undefined || !(Number(limit.value) < RUNC_MIN_MEMORY)) return [];
  return hostWrites.filter(
    (write) => write === limit || write.file === "memory.memsw.limit_in_bytes",
  );
}

function mountOperations(input: OciEditsInput): OciOperation[] {
  const effective = new Set(effectiveMounts(input.mounts));
  return input.mounts.flatMap((mount, index): OciOperation[] => {
    const options = mount.mountOptions.map((option) => {
      if (MOUNT_OPTIONS.has(option)) return option;
      throw invalidArgument(`mounts[${index}].mount_options: ${quoted(option)} is not supported`);
    });
    for (const option of options) {
      if (options.includes(MOUNT_OPTIONS.get(option) ?? "")) {
        throw invalidArgument(`mounts[${index}].mount_options: ${quoted(option)} and its opposite`);
      }
    }
    if (!effective.has(mount)) return [];
    const { recursiveReadOnly: made } = input;
    // An image has no mounts below it.
    const recursive =
      mount.recursiveReadOnly &&
      mount.image === undefined &&
      (made === "all" || touchesDataRoot(mount.hostPath, made.dataRoot));
    // Private, so that no writable mount of the node appears in it later.
    const add = [...new Set(recursive ? [...options, "rro", "rprivate"] : options)];
    if (add.length === 0) return [];
    const remove = add.flatMap((option) => MOUNT_OPTIONS.get(option) ?? []);
    if (recursive) remove.push("rslave");
    return [{ op: "mountOptions", destination: mountPoint(mount.containerPath), add, remove }];
  });
}

function ambient(input: OciEditsInput): OciOperation[] {
  if (input.ambientCapabilities.length === 0) return [];
  const add = input.ambientCapabilities.map((name) => {
    if (!CAPABILITY.test(name)) {
      throw invalidArgument(
        `capabilities.add_ambient_capabilities: ${quoted(name)} is not a capability`,
      );
    }
    return name.startsWith("CAP_") ? name : `CAP_${name}`;
  });
  return [{ op: "ambientCapabilities", add: [...new Set(add)] }];
}

function namespaceEdits(input: OciEditsInput): OciEdits["userNamespace"] {
  const { podIds, join, mounts } = input;
  const effective = new Set(effectiveMounts(mounts));
  const mapped = mounts.filter((mount, index) => {
    const wanted = mount.uidMappings.length > 0 || mount.gidMappings.length > 0;
    if (!wanted) return false;
    if (!isPodMapping(mount.uidMappings, podIds) || !isPodMapping(mount.gidMappings, podIds)) {
      throw invalidArgument(
        `mounts[${index}]: uidMappings and gidMappings must be those of the pod's user namespace`,
      );
    }
    return effective.has(mount);
  });
  if (podIds === undefined) return undefined;
  if (join === undefined) return podIds;
  const destinations = mounts.map(({ containerPath }) => mountPoint(containerPath));
  return {
    ...podIds,
    join,
    idmapMounts: [
      ...mapped.map((mount) => ({ destination: mountPoint(mount.containerPath) })),
      ...[...ENGINE_FILES, ...input.volumes]
        .filter((path) => !destinations.includes(path))
        .map((destination) => ({ destination, optional: true })),
    ],
  };
}
