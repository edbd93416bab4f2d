import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { isContainer } from "../convert/container-facts.ts";
import { storedSpec } from "../convert/container-out.ts";
import type { CgroupWrite } from "../convert/cgroup-writes.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { mergeResources, planResources } from "../convert/resources.ts";
import type { ResourcePlan } from "../convert/resources.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument, notFound } from "../errors.ts";
import { isStatus } from "../engine/errors.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { LinuxContainerResources, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import type { PodDeps } from "../pods/deps.ts";
import {
  applyToProcess,
  isElsewhere,
  kindOf,
  writeCgroupFiles,
} from "../containers/host-writes.ts";
import type { OwedLimits } from "../containers/owed-limits.ts";
import { warnOfLeftOut } from "../containers/left-out.ts";
import { inContainer } from "../sys/process-tree.ts";
import { writeOomScore } from "../containers/oom-score.ts";
import { hasEnded } from "../containers/running-process.ts";

export type UpdateDeps = PodDeps & { resources: ResourceUpdates; owedLimits: OwedLimits };

/** UpdateContainerResources and UpdatePodSandboxResources. */
export function updateResources(
  deps: UpdateDeps,
): Pick<Handlers<typeof RuntimeService>, "updateContainerResources" | "updatePodSandboxResources"> {
  return {
    updateContainerResources: async (request, context) => {
      // Without resources nothing is to be changed.
      const wanted = request.linux ?? create(LinuxContainerResourcesSchema);
      if (request.containerId === "") throw invalidArgument("update: container id is empty");
      const found = await containerOf(deps, request.containerId);
      await deps.locks.run(
        `container:${found.name}`,
        async () => {
          // A start or a removal may have had the lock until now.
          const container = await containerOf(deps, found.id);
          const saved = deps.resources.get(container.id);
          const before =
            saved === undefined
              ? storedSpec(container)?.linux?.resources
              : fromBinary(LinuxContainerResourcesSchema, saved);
          const merged = mergeResources(before, wanted);
          await update(deps, container, { before, wanted, merged });
          deps.index.touched(container.id);
        },
        context.signal,
      );
      return {};
    },
    updatePodSandboxResources: async (request, context) => {
      // The kubelet writes the pod's cgroup itself; the values are kept for who asks later.
      const known = await deps.sandboxes.find(request.podSandboxId);
      if (known === undefined) throw notFound(`update: no pod sandbox ${request.podSandboxId}`);
      const encode = (resources: LinuxContainerResources): string =>
        Buffer.from(toBinary(LinuxContainerResourcesSchema, resources)).toString("base64");
      const updated = {
        ...(request.overhead === undefined ? {} : { overhead: encode(request.overhead) }),
        ...(request.resources === undefined ? {} : { resources: encode(request.resources) }),
      };
      await known.sandbox.keepResources(known.found.id, updated, context.signal);
      return {};
    },
  };
}

async function containerOf(deps: Pick<PodDeps, "index">, id: string) {
  const found = await deps.index.find("container", id);
  if (found === undefined || !isContainer(found)) throw notFound(`update: no container ${id}`);
  return found;
}

interface Asked {
  before: LinuxContainerResources | undefined;
  wanted: LinuxContainerResources;
  /** What holds afterwards: a change of one limit in Docker may reset others that Docker does not know. */
  merged: LinuxContainerResources;
}

async function update(
  deps: UpdateDeps,
  container: ContainerEntry,
  { before, wanted, merged }: Asked,
): Promise<void> {
  const { id } = container;
  if (hasEnded(container)) throw ended(id);
  const facts = await deps.facts();
  const { docker, oomScoreAdj } = planResources(wanted, facts, true);
  const { hostWrites } = planResources(merged, facts, true);
  warnOfLeftOut(deps.log, { containerId: id }, { resources: wanted }, facts);
  const change = async (): Promise<void> => {
    if (Object.keys(docker).length > 0) await updateInDocker(deps, id, docker);
    await writeOnHost(deps, container, facts, { hostWrites, oomScoreAdj, before });
    await deps.resources.save(id, toBinary(LinuxContainerResourcesSchema, merged));
  };
  const isOwed = kindOf({ hostWrites, oomScoreAdj }) === "needed";
  await (isOwed ? deps.owedLimits.changeWith(id, change) : change());
}

async function updateInDocker(
  deps: PodDeps,
  id: string,
  docker: ResourcePlan["docker"],
): Promise<void> {
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
  deps: PodDeps,
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

async function isUnstarted(deps: PodDeps, { id, state, dirty }: ContainerEntry): Promise<boolean> {
  if (state.Status !== "created" || !dirty) return state.Status === "created";
  const now = await deps.index.find("container", id, { fresh: true });
  return now?.state.Status === "created" && !now.dirty;
}

const ended = (id: string): CriError =>
  new CriError("FailedPrecondition", `update: container ${id} has exited`);
