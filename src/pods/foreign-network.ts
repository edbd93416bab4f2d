import type { SandboxNetwork } from "../convert/sandbox-out.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { addressesOfProcess } from "../network/netns-addresses.ts";
import type { Network } from "../network/network.ts";
import { inContainer } from "../sys/process-tree.ts";

interface Known extends SandboxNetwork {
  /** The run of the pause container that was looked at, by its pid. */
  pid: number;
}

/** What is known of the network of pods without a record: taken over, or our own with the record lost. */
export class ForeignNetworks {
  readonly #network: Pick<Network, "legacyAttachment">;
  readonly #known = new Map<string, Known>();

  constructor(network: Pick<Network, "legacyAttachment">) {
    this.#network = network;
  }

  /**
   * The same object while nothing has changed. Not ready when the pause container runs, and not the run
   * that CNI ADD was for: its new namespace has no address, and the kubelet is to make a new sandbox.
   */
  async of(entry: ContainerEntry): Promise<SandboxNetwork> {
    const { id, state } = entry;
    const known = this.#of(entry);
    if (known !== undefined && (known.ips.length > 0 || !known.ready)) return known;
    const { ips, pausePid } = await this.#network.legacyAttachment(id);
    const isLost =
      state.Running && state.Pid !== 0 && pausePid !== undefined && pausePid !== state.Pid;
    let addresses: string[] = isLost ? [] : ips;
    // A kubelet that got no address would rebuild the pod. The pid may have gone to somebody else since
    // the engine named it.
    if (!isLost && addresses.length === 0 && inContainer(state.Pid, id)) {
      addresses = await addressesOfProcess(state.Pid);
    }
    const found = { pid: state.Pid, ready: !isLost, ips: addresses };
    this.#known.set(id, found);
    return found;
  }

  /** By the last look; a pod that was never looked at counts as ready. */
  isReady(entry: ContainerEntry): boolean {
    return this.#of(entry)?.ready ?? true;
  }

  forget(id: string): void {
    this.#known.delete(id);
  }

  #of({ id, state }: ContainerEntry): Known | undefined {
    const known = this.#known.get(id);
    return known?.pid === state.Pid ? known : undefined;
  }
}
