import { ContainerState, PodSandboxState } from "../../gen/runtime/v1/api_pb.js";
import type { PodSandbox } from "../../gen/runtime/v1/api_pb.js";
import { isRestarted } from "./container-run.ts";
import type { Instance } from "./container-run.ts";
import type { PlannedPod } from "./plan.ts";
import { fingerprintKey } from "./pod.ts";
import type { PlayServices } from "./services.ts";

/** The newest container of each name. */
export type FoundContainers = ReadonlyMap<string, Instance>;

/** What a node has of a pod. */
export type FoundPod =
  | { state: "none" }
  /** Its sandbox or all its containers have ended; or it was played from another manifest. */
  | { state: "ended" | "different" }
  | { state: "same"; sandboxId: string; containers: FoundContainers };

/** Every sandbox of the pod, the newest first. */
export async function sandboxesOf(
  { runtime }: Pick<PlayServices, "runtime">,
  plan: PlannedPod,
): Promise<PodSandbox[]> {
  const { items } = await runtime.listPodSandbox({
    filter: { labelSelector: { "io.kubernetes.pod.uid": plan.uid } },
  });
  return [...items].sort((a, b) => Number(b.createdAt - a.createdAt));
}

export async function findPod(services: PlayServices, plan: PlannedPod): Promise<FoundPod> {
  const sandboxes = await sandboxesOf(services, plan);
  if (sandboxes.length === 0) return { state: "none" };
  const ready = sandboxes.find(({ state }) => state === PodSandboxState.SANDBOX_READY);
  if (ready === undefined) return { state: "ended" };
  const containers = await containersOf(services, ready.id);
  const isSame = ready.annotations[fingerprintKey] === plan.fingerprint;
  if (hasEnded(plan, containers)) return { state: "ended" };
  return isSame ? { state: "same", sandboxId: ready.id, containers } : { state: "different" };
}

async function containersOf(
  { runtime }: PlayServices,
  podSandboxId: string,
): Promise<FoundContainers> {
  const { containers } = await runtime.listContainers({ filter: { podSandboxId } });
  const newest = new Map<string, Instance>();
  for (const { id, metadata, state } of containers) {
    const { name = "", attempt = 0 } = metadata ?? {};
    if (attempt < (newest.get(name)?.attempt ?? 0)) continue;
    const hasEnded = state === ContainerState.CONTAINER_EXITED;
    const status = hasEnded ? await runtime.containerStatus({ containerId: id }) : undefined;
    newest.set(name, {
      id,
      attempt,
      isCreated: state === ContainerState.CONTAINER_CREATED,
      exitCode: hasEnded ? (status?.status?.exitCode ?? 0) : undefined,
    });
  }
  return newest;
}

/** By its manifest's own restart policy nothing of it would be started again. */
function hasEnded(plan: PlannedPod, found: FoundContainers): boolean {
  const isOver = (name: string, restarts: (exitCode: number) => boolean): boolean => {
    const exitCode = found.get(name)?.exitCode;
    return exitCode !== undefined && !restarts(exitCode);
  };
  const failedInit = plan.containers.some(
    ({ role, name, restartPolicy }) =>
      role === "init" && isOver(name, (code) => code === 0 || isRestarted(restartPolicy, code)),
  );
  const mains = plan.containers.filter(({ role }) => role === "main");
  return (
    failedInit ||
    mains.every(({ name, restartPolicy }) =>
      isOver(name, (code) => isRestarted(restartPolicy, code)),
    )
  );
}
