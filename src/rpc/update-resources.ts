import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { isContainer } from "../convert/container-facts.ts";
import { storedSpec } from "../convert/container-out.ts";
import { quoted } from "../convert/field-checks.ts";
import { mergeResources, planResources } from "../convert/resources.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument, notFound } from "../errors.ts";
import { isStatus } from "../engine/errors.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { LinuxContainerResources, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import type { PodDeps } from "./deps.ts";
import { writeCgroupFiles } from "./host-writes.ts";
import { writeOomScore } from "./oom-score.ts";

/** UpdateContainerResources and UpdatePodSandboxResources. */
export function updateResources(
  deps: PodDeps & { resources: ResourceUpdates },
): Pick<Handlers<typeof RuntimeService>, "updateContainerResources" | "updatePodSandboxResources"> {
  return {
    updateContainerResources: async (request) => {
      if (request.windows !== undefined) throw invalidArgument("windows: this is a Linux node");
      const [annotation] = Object.keys(request.annotations);
      if (annotation !== undefined) {
        // Experimental resources by the CRI's words; what is not known can't be granted.
        throw invalidArgument(`annotations: ${quoted(annotation)} is no resource of this runtime`);
      }
      const wanted = request.linux;
      if (wanted === undefined) throw invalidArgument("linux resources are missing");
      if (request.containerId === "") throw invalidArgument("update: container id is empty");
      const found = await containerOf(deps, request.containerId);
      await deps.locks.run(`container:${found.name}`, async () => {
        // A start or a removal may have had the lock until now.
        const container = await containerOf(deps, found.id);
        const saved = deps.resources.get(container.id);
        const before =
          saved === undefined
            ? storedSpec(container)?.linux?.resources
            : fromBinary(LinuxContainerResourcesSchema, saved);
        await update(deps, container, wanted);
        await deps.resources.save(
          container.id,
          toBinary(LinuxContainerResourcesSchema, mergeResources(before, wanted)),
        );
        deps.index.touched(container.id);
      });
      return {};
    },
    updatePodSandboxResources: async (request) => {
      // The kubelet writes the pod's cgroup itself; the values are kept for who asks later.
      const found = await deps.index.find("podsandbox", request.podSandboxId);
      if (found === undefined) throw notFound(`update: no pod sandbox ${request.podSandboxId}`);
      const encode = (resources: LinuxContainerResources): string =>
        Buffer.from(toBinary(LinuxContainerResourcesSchema, resources)).toString("base64");
      await deps.locks.run(`sandbox:${found.name}`, async () => {
        const record = deps.records.byId(found.id);
        if (record === undefined) return;
        await deps.records.save({
          ...record,
          updatedResources: {
            ...record.updatedResources,
            ...(request.overhead === undefined ? {} : { overhead: encode(request.overhead) }),
            ...(request.resources === undefined ? {} : { resources: encode(request.resources) }),
          },
        });
        deps.index.touchedRecord(found.id);
      });
      return {};
    },
  };
}

async function containerOf(deps: Pick<PodDeps, "index">, id: string) {
  const found = await deps.index.find("container", id);
  if (found === undefined || !isContainer(found)) throw notFound(`update: no container ${id}`);
  return found;
}

async function update(
  deps: PodDeps,
  container: ContainerEntry,
  wanted: LinuxContainerResources,
): Promise<void> {
  if (container.state.Status === "exited" || container.state.Status === "dead") {
    throw new CriError("FailedPrecondition", `update: container ${container.id} has exited`);
  }
  const plan = planResources(wanted, await deps.facts(), true);
  try {
    if (Object.keys(plan.docker).length > 0) {
      await deps.engine.updateContainer(container.id, plan.docker);
    }
  } catch (error) {
    if (isStatus(error, 404)) throw notFound(`update: no container ${container.id}`);
    throw error;
  }
  const { Pid: pid } = container.state;
  if (!container.state.Running || pid === 0) return;
  try {
    // After Docker's update: under the systemd driver it may write the files again.
    await writeCgroupFiles(pid, container.id, plan.hostWrites);
    if (plan.oomScoreAdj !== undefined) writeOomScore(pid, container.id, plan.oomScoreAdj);
  } catch (error) {
    throw new CriError("Internal", `update container ${container.id}: ${errorText(error)}`, {
      cause: error,
    });
  }
}
