import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { Clock } from "../sys/clock.ts";

/** cAdvisor gives up after two seconds, and a container that it could not find stays without labels. */
const patienceMs = 1_500;
const lookMs = 20;

/**
 * What the containerd façade tells of a container, from the index as it is in memory. The shape is
 * that of facade/known-container.ts.
 */
export function knownContainers(deps: {
  index: ContainerIndex;
  clock: Clock;
  imageName(entry: ContainerEntry): string;
}): { find(id: string, wanted?: "pid"): Promise<ReturnType<typeof viewOf> | undefined> } {
  const { index, clock } = deps;
  /** True when a later look could tell more. */
  const unsettled = (entry: ContainerEntry | undefined, wanted: "pid" | undefined): boolean => {
    if (entry === undefined) return !index.health.synced;
    return wanted === "pid" && entry.state.Pid === 0 && stateOf(entry.state) !== "exited";
  };
  return {
    find: async (id, wanted) => {
      const end = clock.monotonicMs() + patienceMs;
      let entry = index.peek(id);
      while (unsettled(entry, wanted) && clock.monotonicMs() < end) {
        await clock.sleep(lookMs);
        entry = index.peek(id);
      }
      return entry === undefined ? undefined : viewOf(entry, deps.imageName(entry));
    },
  };
}

function viewOf(entry: ContainerEntry, image: string) {
  const { identity, state } = entry;
  const workload = identity.kind === "container";
  const pod = workload ? identity.podSandboxMetadata : identity.metadata;
  return {
    id: entry.id,
    kind: identity.kind,
    podName: pod.name,
    podNamespace: pod.namespace,
    podUid: pod.uid,
    containerName: workload ? identity.metadata.name : "",
    labels: identity.labels,
    image,
    pid: state.Pid,
    state: stateOf(state),
    exitCode: state.ExitCode,
  };
}

function stateOf(state: ContainerEntry["state"]): "created" | "running" | "paused" | "exited" {
  if (state.Paused) return "paused";
  if (state.Running) return "running";
  return state.Status === "created" ? "created" : "exited";
}
