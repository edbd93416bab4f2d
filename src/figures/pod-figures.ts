import type { ContainerEntry } from "../index/container-index.ts";
import type { CgroupFigures, MemoryFigures, SwapFigures } from "../stats/figures.ts";
import type { Sampler, SampleTarget } from "../stats/sampler.ts";

/** What the sampler needs of a container; undefined when it does not run or its pid is not known. */
export function targetOf(entry: ContainerEntry): SampleTarget | undefined {
  const { Running, Pid } = entry.state;
  return Running && Pid > 0 ? { id: entry.id, pid: Pid } : undefined;
}

/** Cgroups that belong to one pod alone. */
export class PodCgroups {
  readonly #users = new Map<string, number>();

  constructor(sandboxes: readonly ContainerEntry[]) {
    for (const entry of sandboxes) {
      const parent = parentOf(entry);
      if (entry.state.Running) this.#users.set(parent, (this.#users.get(parent) ?? 0) + 1);
    }
  }

  /**
   * The kubelet gives each pod a cgroup of its own. Without one the containers sit in Docker's common
   * cgroup, and several pods may have been given the same: then the parent's figures are not the pod's.
   */
  ownsParent(sandbox: ContainerEntry): boolean {
    const parent = parentOf(sandbox);
    return parent !== "" && this.#users.get(parent) === 1;
  }
}

function parentOf(entry: ContainerEntry): string {
  return entry.inspect?.HostConfig.CgroupParent ?? "";
}

/** The pod's figures: its own cgroup's, else the sum over the pause container and the others. */
export function podFigures(
  sampler: Sampler,
  sandbox: SampleTarget,
  ownsParent: boolean,
  members: readonly CgroupFigures[],
): CgroupFigures | undefined {
  if (ownsParent) return sampler.parentOf(sandbox);
  // Only what has a sum is of use.
  const pause = sampler.container(sandbox, { pressure: false, available: false, pids: true });
  return pause === undefined ? undefined : sumOf([pause, ...members]);
}

/** Pressure is no sum: tasks that wait at the same time count once. */
function sumOf(all: readonly [CgroupFigures, ...CgroupFigures[]]): CgroupFigures {
  const [first] = all;
  const memories = all.map(({ memory }) => memory).filter((memory) => memory !== undefined);
  const swaps = all.map(({ swap }) => swap).filter((swap) => swap !== undefined);
  return {
    atNs: first.atNs,
    cpuUsageNs: sum(all, ({ cpuUsageNs }) => cpuUsageNs),
    cpuNanoCores: all.some(({ cpuNanoCores }) => cpuNanoCores !== undefined)
      ? sum(all, ({ cpuNanoCores }) => cpuNanoCores ?? 0n)
      : undefined,
    cpuPsi: undefined,
    memory: memories.length === 0 ? undefined : memorySum(memories),
    memoryPsi: undefined,
    swap: swaps.length === 0 ? undefined : swapSum(swaps),
    ioPsi: undefined,
    pids: sum(all, ({ pids }) => pids ?? 0n),
  };
}

function memorySum(all: readonly MemoryFigures[]): MemoryFigures {
  return {
    usageBytes: sum(all, ({ usageBytes }) => usageBytes),
    workingSetBytes: sum(all, ({ workingSetBytes }) => workingSetBytes),
    availableBytes: undefined,
    rssBytes: sum(all, ({ rssBytes }) => rssBytes),
    pageFaults: sum(all, ({ pageFaults }) => pageFaults),
    majorPageFaults: sum(all, ({ majorPageFaults }) => majorPageFaults),
  };
}

function swapSum(all: readonly SwapFigures[]): SwapFigures {
  return { usageBytes: sum(all, ({ usageBytes }) => usageBytes), availableBytes: undefined };
}

function sum<T>(all: readonly T[], value: (each: T) => bigint): bigint {
  return all.reduce((total, each) => total + value(each), 0n);
}
