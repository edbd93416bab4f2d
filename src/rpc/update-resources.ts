import { create, toBinary } from "@bufbuild/protobuf";
import { resize } from "../containers/resize.ts";
import type { ResizeDeps } from "../containers/resize.ts";
import { isContainer } from "../convert/container-facts.ts";
import type { Handlers } from "../cri/bind.ts";
import { invalidArgument, notFound } from "../errors.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { LinuxContainerResources, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { PodDeps } from "../pods/deps.ts";

export type UpdateDeps = PodDeps & ResizeDeps;

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
          const { hooks } = deps;
          const { resources, docker } = hooks.active
            ? await hooks.containerUpdate(container.id, wanted)
            : { resources: wanted };
          await resize(deps, container, resources, docker);
          if (hooks.active) await hooks.containerUpdated(container.id);
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
      const { id } = known.found;
      if (deps.hooks.active) await deps.hooks.podUpdate(id, request);
      await known.sandbox.keepResources(id, updated, context.signal);
      if (deps.hooks.active) await deps.hooks.podUpdated(id);
      return {};
    },
  };
}

async function containerOf(deps: Pick<PodDeps, "index">, id: string) {
  const found = await deps.index.find("container", id);
  if (found === undefined || !isContainer(found)) throw notFound(`update: no container ${id}`);
  return found;
}
