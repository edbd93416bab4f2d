import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { containerWritesAfterStart } from "../convert/container-edits.ts";
import type { CgroupWrite } from "../convert/cgroup-writes.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { planResources } from "../convert/resources.ts";
import type { ResourcePlan } from "../convert/resources.ts";
import { decodeContainerSpec } from "../convert/stored-spec.ts";
import { CriError, errorText } from "../errors.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import { waiting } from "../sys/call-trace.ts";
import { readTextIfExists, isErrno } from "../sys/fs.ts";
import type { PodDeps } from "./deps.ts";
import { writeOomScore } from "./oom-score.ts";

/**
 * Writes the cgroup files of what Docker's API has no field for (unified keys, huge pages, limits
 * below its floors) right after the start, where dockline-oci has not done so before it, and of
 * memory limits that the OCI runtime's own first process would not survive. So with what Docker's
 * update could not do before the start. When one can't be written the container is killed: it must
 * not run with less than was asked.
 */
export async function applyHostWrites(
  deps: PodDeps & { resources: ResourceUpdates },
  container: ContainerEntry,
): Promise<void> {
  const { hostWrites, oomScoreAdj } = planAfterStart(deps, container, await deps.facts());
  if (hostWrites.length === 0 && oomScoreAdj === undefined) return;
  const started = await deps.index.find("container", container.id, { fresh: true });
  const pid = started?.state.Pid ?? 0;
  // Ended already: there is nothing left to limit.
  if (started?.state.Running !== true || pid === 0) return;
  try {
    await writeOnceFree(deps, pid, container.id, hostWrites);
    if (oomScoreAdj !== undefined) writeOomScore(pid, container.id, oomScoreAdj);
  } catch (error) {
    await deps.engine.killContainer(container.id, "KILL").catch(() => undefined);
    deps.index.touched(container.id);
    throw new CriError("Internal", `start container ${container.id}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

function planAfterStart(
  deps: { resources: ResourceUpdates },
  container: ContainerEntry,
  facts: EngineFacts,
): Pick<ResourcePlan, "hostWrites" | "oomScoreAdj"> {
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

/** A limit below what the runtime's own first process used is refused until the kernel has that back. */
async function writeOnceFree(
  deps: Pick<PodDeps, "clock">,
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

/** Writes below the cgroups of a process that is in this container. */
export async function writeCgroupFiles(
  pid: number,
  containerId: string,
  writes: readonly CgroupWrite[],
): Promise<void> {
  const membership = await readTextIfExists(`/proc/${pid}/cgroup`);
  if (membership?.includes(containerId) !== true) return;
  for (const write of writes) {
    const path = cgroupFile(membership, write);
    try {
      const file = await open(path, constants.O_WRONLY);
      try {
        await file.writeFile(write.value);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (write.optional && isErrno(error, "ENOENT")) continue;
      // The container ended meanwhile and took its cgroup with it.
      if (
        isErrno(error, "ENOENT", "ENODEV") &&
        (await readTextIfExists(`/proc/${pid}/cgroup`)) === undefined
      )
        return;
      throw new Error(`cgroup ${write.file}=${write.value}: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
}

/** Path of a cgroup file from the lines of /proc/<pid>/cgroup, v2 or one v1 hierarchy. */
export function cgroupFile(membership: string, write: CgroupWrite): string {
  for (const line of membership.split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === "") continue;
    if (controllers.split(",").includes(write.controller)) {
      return join("/sys/fs/cgroup", write.controller, path, write.file);
    }
  }
  const unified = /^0::(.*)$/m.exec(membership)?.[1] ?? "/";
  return join("/sys/fs/cgroup", unified, write.file);
}
