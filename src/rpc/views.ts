import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { isContainer, isSandbox } from "../convert/container-facts.ts";
import { toContainer, toContainerStatus } from "../convert/container-out.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { podSandboxState, toPodSandbox, toPodSandboxStatus } from "../convert/sandbox-out.ts";
import type { SandboxNetwork } from "../convert/sandbox-out.ts";
import {
  ContainerStatusSchema,
  LinuxContainerResourcesSchema,
  PodSandboxStatusSchema,
} from "../gen/runtime/v1/api_pb.js";
import type {
  Container,
  ContainerStatus,
  PodSandbox,
  PodSandboxState,
  PodSandboxStatus,
} from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { Network } from "../network/network.ts";
import { ForeignNetworks } from "../pods/foreign-network.ts";
import { isServing } from "../pods/pod-netns.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import type { SandboxRecords } from "../state/sandbox-records.ts";
import type { ProcessUsers } from "../containers/process-users.ts";

export interface ViewDeps {
  index: Pick<ContainerIndex, "images" | "onChange" | "find" | "touchedRecord">;
  records: SandboxRecords;
  resources: ResourceUpdates;
  users: Pick<ProcessUsers, "of" | "forget">;
  network: Pick<Network, "legacyAttachment">;
  /** Facts as last known, the same object while they do not change; never asks. */
  factsNow(): EngineFacts;
}

interface EncodedStatus {
  bytes: Uint8Array;
  /** What the status shows and the entry has not, compared by identity. */
  beside: readonly unknown[];
}

function upToDate(known: EncodedStatus | undefined, beside: readonly unknown[]): boolean {
  return known?.beside.every((value, at) => value === beside[at]) === true;
}

/** Entries of the index as the CRI's messages, with what lies beside the engine put in. */
export class Views {
  readonly #deps: ViewDeps;
  readonly #foreign: ForeignNetworks;
  readonly #statuses = new WeakMap<ContainerEntry, EncodedStatus>();

  constructor(deps: ViewDeps) {
    this.#deps = deps;
    this.#foreign = new ForeignNetworks(deps.network);
    deps.index.onChange(({ kind, entry }) => {
      if (kind === "started") void this.lookAtForeign([entry]);
      if (kind !== "deleted") return;
      deps.users.forget(entry.id);
      this.#foreign.forget(entry.id);
    });
  }

  container(entry: ContainerEntry): Container {
    if (!isContainer(entry)) throw new TypeError(`${entry.id} is no container`);
    return toContainer(entry, this.#deps.index.images.peek(entry.imageId));
  }

  containerStatus(entry: ContainerEntry): ContainerStatus {
    if (!isContainer(entry)) throw new TypeError(`${entry.id} is no container`);
    const updated = this.#deps.resources.get(entry.id);
    return toContainerStatus(entry, {
      image: this.#deps.index.images.peek(entry.imageId),
      engine: this.#deps.factsNow(),
      user: this.#deps.users.of(entry),
      ...(updated === undefined
        ? {}
        : { resources: fromBinary(LinuxContainerResourcesSchema, updated) }),
    });
  }

  /** The same as bytes: encoded again only when the entry or what lies beside it changed. */
  encodedStatus(entry: ContainerEntry): Uint8Array {
    const beside = [
      this.#deps.index.images.revision,
      this.#deps.resources.get(entry.id),
      this.#deps.factsNow(),
      this.#deps.users.of(entry),
    ];
    const known = this.#statuses.get(entry);
    if (known !== undefined && upToDate(known, beside)) return known.bytes;
    const bytes = toBinary(ContainerStatusSchema, this.containerStatus(entry));
    this.#statuses.set(entry, { bytes, beside });
    return bytes;
  }

  podSandbox(entry: ContainerEntry): PodSandbox {
    if (!isSandbox(entry)) throw new TypeError(`${entry.id} is no sandbox`);
    return toPodSandbox(entry, { ready: this.#networkReady(entry) });
  }

  podSandboxState(entry: ContainerEntry): PodSandboxState {
    if (!isSandbox(entry)) throw new TypeError(`${entry.id} is no sandbox`);
    return podSandboxState(entry, { ready: this.#networkReady(entry) });
  }

  async podSandboxStatus(entry: ContainerEntry): Promise<PodSandboxStatus> {
    if (!isSandbox(entry)) throw new TypeError(`${entry.id} is no sandbox`);
    return toPodSandboxStatus(entry, await this.sandboxNetwork(entry));
  }

  /** The same as bytes: encoded again only when the entry, its record or its addresses changed. */
  async encodedSandboxStatus(entry: ContainerEntry): Promise<Uint8Array> {
    if (!isSandbox(entry)) throw new TypeError(`${entry.id} is no sandbox`);
    const network = await this.sandboxNetwork(entry);
    const beside = [network.ready, network.ips];
    const known = this.#statuses.get(entry);
    if (known !== undefined && upToDate(known, beside)) return known.bytes;
    const bytes = toBinary(PodSandboxStatusSchema, toPodSandboxStatus(entry, network));
    this.#statuses.set(entry, { bytes, beside });
    return bytes;
  }

  async sandboxNetwork(entry: ContainerEntry): Promise<SandboxNetwork> {
    const record = this.#deps.records.byId(entry.id);
    if (record !== undefined) return { ready: isServing(record, entry), ips: record.ips };
    if (entry.inspect?.HostConfig.NetworkMode === "host") return { ready: true, ips: [] };
    const before = this.#foreign.isReady(entry);
    const found = await this.#foreign.of(entry);
    // A list has shown otherwise.
    if (found.ready !== before) this.#deps.index.touchedRecord(entry.id);
    return found;
  }

  /** Looks at the network of each pod without a record, so that lists know of one that was lost. Never rejects. */
  async lookAtForeign(entries: readonly ContainerEntry[]): Promise<void> {
    const { index, records } = this.#deps;
    for (const { id, kind } of entries) {
      if (kind !== "podsandbox" || records.byId(id) !== undefined) continue;
      try {
        // An event tells of a start before anybody knows the process.
        const entry = await index.find("podsandbox", id);
        if (entry?.state.Running === true) await this.sandboxNetwork(entry);
      } catch {
        // The engine is away, or the pod: its status looks again.
      }
    }
  }

  #networkReady(entry: ContainerEntry): boolean {
    const record = this.#deps.records.byId(entry.id);
    return record === undefined ? this.#foreign.isReady(entry) : isServing(record, entry);
  }
}
