import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { isContainer } from "../convert/container-facts.ts";
import { storedSpec } from "../convert/container-out.ts";
import type { CgroupWrite } from "../convert/cgroup-writes.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { mergeResources, planResources } from "../convert/resources.ts";
import type { ResourcePlan } from "../convert/resources.ts";
import type { ResourceConfig } from "../engine/types.ts";
import { isStatus } from "../engine/errors.ts";
import { CriError, errorText, notFound } from "../errors.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import { inContainer } from "../sys/process-tree.ts";
import type { ContainerDeps } from "./deps.ts";
import { applyToProcess, isElsewhere, kindOf, writeCgroupFiles } from "./host-writes.ts";
import { warnOfLeftOut } from "./left-out.ts";
import { writeOomScore } from "./oom-score.ts";
import type { OwedLimits } from "./owed-limits.ts";
import { hasEnded } from "./running-process.ts";

export type ResizeDeps = ContainerDeps & { resources: ResourceUpdates; owedLimits: OwedLimits };

interface Asked {
  before: LinuxContainerResources | undefined;
  wanted: LinuxContainerResources;
  /** What holds afterwards: a change of one limit in Docker may reset others that Docker does not know. */
  merged: LinuxContainerResources;
}

/**
 * Changes what a container may use, in Docker and in its cgroup, and keeps what was asked. What has not been started
 * yet gets at its start what Docker does not know.
 *
 * @param more members of Docker's update that the CRI has no field for
 * @throws CriError FailedPrecondition for one that has ended, and what the engine says
 */
export async function resize(
  deps: ResizeDeps,
  container: ContainerEntry,
  wanted: LinuxContainerResources,
  more: Pick<ResourceConfig, "MemoryReservation" | "PidsLimit"> = {},
): Promise<void> {
  const { id } = container;
  // Plugins' updates of a container come while a call has the container's own lock and waits for plugins.
  await deps.locks.run(`resources:${id}`, async () => {
    const before = resourcesBefore(deps, container);
    const merged = mergeResources(before, wanted);
    await update(deps, container, { before, wanted, merged }, more);
    deps.index.touched(id);
  });
}

/** What was asked for last. */
export function resourcesBefore(
  { resources }: Pick<ResizeDeps, "resources">,
  container: ContainerEntry,
): LinuxContainerResources | undefined {
  const saved = resources.get(container.id);
  if (saved !== undefined) return fromBinary(LinuxContainerResourcesSchema, saved);
  return isContainer(container) ? storedSpec(container)?.linux?.resources : undefined;
}

async function update(
  deps: ResizeDeps,
  container: ContainerEntry,
  { before, wanted, merged }: Asked,
  more: Pick<ResourceConfig, "MemoryReservation" | "PidsLimit">,
): Promise<void> {
  const { id } = container;
  if (hasEnded(container)) throw ended(id);
  const facts = await deps.facts();
  const { docker, oomScoreAdj } = planResources(wanted, facts, true);
  const { hostWrites } = planResources(merged, facts, true);
  warnOfLeftOut(deps.log, { containerId: id }, { resources: wanted }, facts);
  const change = async (): Promise<void> => {
    const changed = { ...docker, ...more };
    if (Object.keys(changed).length > 0) await updateInDocker(deps, id, changed);
    await writeOnHost(deps, container, facts, { hostWrites, oomScoreAdj, before });
    await deps.resources.save(id, toBinary(LinuxContainerResourcesSchema, merged));
  };
  const isOwed = kindOf({ hostWrites, oomScoreAdj }) === "needed";
  await (isOwed ? deps.owedLimits.changeWith(id, change) : change());
}

async function updateInDocker(deps: ResizeDeps, id: string, docker: ResourceConfig): Promise<void> {
  try {
    await deps.engine.updateContainer(id, docker);
  } catch (error) {
    if (isStatus(error, 404)) throw notFound(`update: no container ${id}`);
    // The engine says it in words of its own when the container ends meanwhile.
    const now = await deps.index.find("container", id, { fresh: true }).catch(() => undefined);
    if (now !== undefined && hasEnded(now)) throw ended(id);
    throw error;
  }
}

async function writeOnHost(
  deps: ResizeDeps,
  container: ContainerEntry,
  facts: EngineFacts,
  {
    hostWrites,
    oomScoreAdj,
    before,
  }: Pick<ResourcePlan, "hostWrites" | "oomScoreAdj"> & Pick<Asked, "before">,
): Promise<void> {
  const { id } = container;
  if (hostWrites.length === 0 && oomScoreAdj === undefined) return;
  const write = async (pid: number): Promise<void> => {
    // After Docker's update: under the systemd driver it may write the files again.
    await writeCgroupFiles(pid, id, hostWrites);
    if (oomScoreAdj !== undefined) writeOomScore(pid, id, oomScoreAdj);
  };
  const { Running, Pid } = container.state;
  // What was not started yet gets it at the start.
  if (await isUnstarted(deps, container)) return;
  try {
    if (Running && Pid > 0 && inContainer(Pid, id)) await write(Pid);
    else await applyToProcess(deps, id, write);
  } catch (error) {
    if (isElsewhere(deps, error, container, facts)) {
      // What it runs without since its start may be sent again with each change of another limit.
      const old = before === undefined ? [] : planResources(before, facts, true).hostWrites;
      const write = hostWrites.find((one) => !one.optional && !isAmong(old, one));
      if (write === undefined) return;
      throw new CriError(
        "FailedPrecondition",
        `update container ${id}: ${write.file} cannot be set to ${write.value}: the runtime keeps its processes in no cgroup of the container`,
      );
    }
    const kind = error instanceof CriError ? error.kind : "Internal";
    throw new CriError(kind, `update container ${id}: ${errorText(error)}`, { cause: error });
  }
}

const isAmong = (writes: readonly CgroupWrite[], { file, value }: CgroupWrite): boolean =>
  writes.some((one) => one.file === file && one.value === value);

async function isUnstarted(
  deps: ResizeDeps,
  { id, state, dirty }: ContainerEntry,
): Promise<boolean> {
  if (state.Status !== "created" || !dirty) return state.Status === "created";
  const now = await deps.index.find("container", id, { fresh: true });
  return now?.state.Status === "created" && !now.dirty;
}

const ended = (id: string): CriError =>
  new CriError("FailedPrecondition", `update: container ${id} has exited`);
