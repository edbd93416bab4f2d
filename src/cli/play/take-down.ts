import { ContainerState } from "../../gen/runtime/v1/api_pb.js";
import { addressesOf } from "./addresses.ts";
import { sandboxesOf } from "./found-pod.ts";
import type { PlannedContainer, PlannedPod } from "./plan.ts";
import type { PlayServices } from "./services.ts";
import { stopContainer } from "./stop.ts";

/** Stops and removes the pod with all that is its own. How many sandboxes it had. */
export async function takeDown(services: PlayServices, plan: PlannedPod): Promise<number> {
  const { runtime, disk } = services;
  const sandboxes = await sandboxesOf(services, plan);
  if (sandboxes.length > 0) await disk.markDown(plan);
  for (const { id: podSandboxId } of sandboxes) {
    await stopContainers(services, plan, podSandboxId);
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }
  await disk.remove(plan);
  return sandboxes.length;
}

/** Containers at once and with their grace period, then sidecars. */
async function stopContainers(
  services: PlayServices,
  plan: PlannedPod,
  podSandboxId: string,
): Promise<void> {
  const { containers } = await services.runtime.listContainers({ filter: { podSandboxId } });
  const running = containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING);
  if (running.length === 0) return;
  const [address = ""] = await addressesOf(services, plan, podSandboxId);
  const end = async (isWanted: (container: PlannedContainer) => boolean): Promise<void> => {
    const stops = plan.containers.filter(isWanted).flatMap((container) =>
      running
        .filter(({ metadata }) => metadata?.name === container.name)
        .map(({ id: containerId }) => {
          const place = { containerId, address, title: container.name };
          return stopContainer(services, container, place, plan.graceSeconds);
        }),
    );
    await Promise.all(stops);
  };
  await end(({ role }) => role !== "sidecar");
  await end(({ role }) => role === "sidecar");
}
