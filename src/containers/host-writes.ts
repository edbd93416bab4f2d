import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { containerWritesAfterStart } from "../convert/container-edits.ts";
import type { CgroupWrite } from "../convert/cgroup-writes.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { runtimeHandlerOf } from "../convert/container-facts.ts";
import { planResources } from "../convert/resources.ts";
import type { ResourcePlan } from "../convert/resources.ts";
import { hasOwnCgroups } from "../convert/runtime-handler.ts";
import { decodeContainerSpec } from "../convert/stored-spec.ts";
import { CriError, errorText } from "../errors.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import { waiting } from "../sys/call-trace.ts";
import { isErrno } from "../sys/fs.ts";
import { cgroupsOf, containerPart, inContainer, isExiting } from "../sys/process-tree.ts";
import type { ContainerDeps } from "./deps.ts";
import { writeOomScore } from "./oom-score.ts";
import { runningProcess } from "./running-process.ts";

/**
 * Writes the cgroup files of what Docker's API has no field for (unified keys, huge pages, limits
 * below its floors) right after the start, where dockline-oci has not done so before it, and of
 * memory limits that the OCI runtime's own first process would not survive. So with what Docker's
 * update could not do before the start. When one can't be written the container is killed: it must
 * not run with less than was asked. Not so for limits that say no more than that nothing is taken.
 *
 * @throws Unavailable when the engine says nothing about itself, and then nothing was done
 */
export async function applyHostWrites(
  deps: HostWritesDeps,
  container: ContainerEntry,
  { mustNotRunWithout = true } = {},
): Promise<void> {
  const facts = await deps.facts();
  let isNeeded = true;
  try {
    const plan = planAfterStart(deps, container, facts);
    const kind = kindOf(plan);
    if (kind === "none") return;
    isNeeded = kind === "needed";
    const { hostWrites, oomScoreAdj } = plan;
    const write = async (pid: number): Promise<void> => {
      await writeOnceFree(deps, pid, container.id, hostWrites);
      if (oomScoreAdj !== undefined) writeOomScore(pid, container.id, oomScoreAdj);
    };
    const { Running, Pid } = container.state;
    // Of one that has run for long, what is remembered will do.
    const isKnown = !mustNotRunWithout && Running && Pid > 0 && !container.dirty;
    if (isKnown && inContainer(Pid, container.id)) await write(Pid);
    else await applyToProcess(deps, container.id, write);
  } catch (error) {
    if (isElsewhere(deps, error, container, facts)) return;
    if (!isNeeded) {
      const details = { containerId: container.id, error: errorText(error) };
      deps.log.warn(details, "limits of huge pages are left to the pod's cgroup");
      return;
    }
    if (!mustNotRunWithout) throw error;
    await deps.engine.killContainer(container.id, "KILL").catch(() => undefined);
    deps.index.touched(container.id);
    const kind = error instanceof CriError ? error.kind : "Internal";
    throw new CriError(kind, `start container ${container.id}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

type HostWritesDeps = ContainerDeps & { resources: ResourceUpdates };
type AfterStart = Pick<ResourcePlan, "hostWrites" | "oomScoreAdj">;

/** "optional": a container without them has no more than its pod's cgroup gives it. */
export type HostWritesKind = "none" | "optional" | "needed";

/** What is to be written right after a start of the container. */
export async function kindOfHostWrites(
  deps: Pick<ContainerDeps, "facts"> & { resources: ResourceUpdates },
  container: ContainerEntry,
): Promise<HostWritesKind> {
  return kindOf(planAfterStart(deps, container, await deps.facts()));
}

export function kindOf({ hostWrites, oomScoreAdj }: AfterStart): HostWritesKind {
  if (oomScoreAdj !== undefined) return "needed";
  if (hostWrites.length === 0) return "none";
  return hostWrites.every(({ optional }) => optional) ? "optional" : "needed";
}

/**
 * Has the writes done for the first process of a container that was started. One that has ended has
 * nothing left to limit, also when it ends under the writes.
 *
 * @throws Unavailable when the engine does not say which process that is
 */
export async function applyToProcess(
  deps: Pick<ContainerDeps, "index" | "clock">,
  containerId: string,
  write: (pid: number) => Promise<void>,
): Promise<void> {
  const pid = await runningProcess(deps, containerId);
  if (pid === "ended") return;
  try {
    await write(pid);
  } catch (error) {
    if (!(error instanceof NotInContainer)) throw error;
    // The kernel may have given the pid to another process since.
    if ((await runningProcess(deps, containerId)) !== "ended") throw error;
  }
}

/** The container's process is in none of its cgroups, where nothing can be limited. */
class NotInContainer extends Error {}

/**
 * True, with a warning in the log, when the container's runtime keeps its processes in no cgroup of the
 * container: it has the limits of the OCI spec, and what could only be written afterwards has no place.
 */
export function isElsewhere(
  deps: Pick<ContainerDeps, "log">,
  error: unknown,
  container: ContainerEntry,
  facts: EngineFacts,
): boolean {
  const handler = runtimeHandlerOf(container);
  if (!(error instanceof NotInContainer) || hasOwnCgroups(handler, facts)) return false;
  deps.log.warn(
    { containerId: container.id, runtimeHandler: handler, error: error.message },
    "limits that Docker cannot set are left out: the runtime keeps its processes elsewhere",
  );
  return true;
}

function planAfterStart(
  deps: { resources: ResourceUpdates },
  container: ContainerEntry,
  facts: EngineFacts,
): AfterStart {
  const updated = deps.resources.get(container.id);
  if (updated !== undefined) {
    return planResources(fromBinary(LinuxContainerResourcesSchema, updated), facts, true);
  }
  const requested = decodeContainerSpec(container.identity.extra.spec)?.linux?.resources;
  const edited = container.identity.extra.edited === true;
  return {
    hostWrites: requested === undefined ? [] : containerWritesAfterStart(requested, facts, edited),
    oomScoreAdj: undefined,
  };
}

/** The kernel refuses a limit below what the runtime's first process used until it has reclaimed that memory. */
async function writeOnceFree(
  deps: Pick<ContainerDeps, "clock">,
  pid: number,
  containerId: string,
  writes: readonly CgroupWrite[],
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await writeCgroupFiles(pid, containerId, writes);
      return;
    } catch (error) {
      const busy = isErrno((error as Error).cause, "EBUSY");
      if (!busy || attempt >= 20) throw error;
      await waiting("memory in use", () => deps.clock.sleep(50));
    }
  }
}

/**
 * Writes below the cgroups of a process that is in this container; nothing once that has ended.
 *
 * @throws Error with the file and the kernel's reason; NotInContainer for a process elsewhere
 */
export async function writeCgroupFiles(
  pid: number,
  containerId: string,
  writes: readonly CgroupWrite[],
): Promise<void> {
  const ended = (): boolean => isExiting(pid) || !inContainer(pid, containerId);
  const membership = cgroupsOf(pid) ?? "";
  if (!membership.includes(containerId)) {
    if (isExiting(pid) || writes.every(({ optional }) => optional)) return;
    throw new NotInContainer(
      `cgroup: ${writes[0]?.file} cannot be set: process ${pid} is in no cgroup of the container`,
    );
  }
  for (const write of writes) {
    try {
      const path = cgroupFile(membership, write, containerId);
      // cgroup v1 without the hugetlb hierarchy, where a kubelet allows every container no huge page.
      if (path === undefined && write.optional) continue;
      if (path === undefined) throw new Error("the container has no such cgroup");
      const file = await open(path, constants.O_WRONLY);
      try {
        await file.writeFile(write.value);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (write.optional && isErrno(error, "ENOENT")) continue;
      // The container took its cgroup with it: whatever the kernel called that.
      if (ended()) return;
      throw new Error(
        `cgroup: ${write.file} cannot be set to ${write.value}: ${errorText(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

/**
 * Path of a cgroup file of a container, from the lines of /proc/<pid>/cgroup: v2 or one v1 hierarchy. Undefined where
 * that process is in none of the container's: the kernel says "/" of a process that is about to exit, and that is
 * the whole node's cgroup. A process may have moved below the container's own cgroup, as init systems do.
 */
export function cgroupFile(
  membership: string,
  write: Pick<CgroupWrite, "controller" | "file">,
  containerId: string,
): string | undefined {
  let unified: string | undefined;
  for (const line of membership.split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const folder = containerPart(path, containerId);
    if (controllers.split(",").includes(write.controller)) {
      if (folder === undefined) return undefined;
      return join("/sys/fs/cgroup", write.controller, folder, write.file);
    }
    if (line.startsWith("0::")) unified = folder;
  }
  return unified === undefined ? undefined : join("/sys/fs/cgroup", unified, write.file);
}
