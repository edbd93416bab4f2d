import { create, toBinary } from "@bufbuild/protobuf";
import { isContainer, isSandbox } from "../convert/container-facts.ts";
import { matchesContainerStats, matchesPodSandboxStats } from "../convert/filters.ts";
import { Encoded } from "../cri/bind.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument, notFound } from "../errors.ts";
import { ContainerAttributesSchema, PodSandboxAttributesSchema } from "../gen/runtime/v1/api_pb.js";
import type {
  ContainerStatsFilter,
  PodSandboxStatsFilter,
  RuntimeService,
} from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import { joinList } from "../index/encoded.ts";
import { allFigures } from "../stats/figures.ts";
import type { CgroupFigures } from "../stats/figures.ts";
import type { LayerSizes } from "../stats/layer-sizes.ts";
import { readNetwork } from "../stats/net-dev.ts";
import type { Sampler } from "../stats/sampler.ts";
import type { Clock } from "../sys/clock.ts";
import { chunked } from "./chunked.ts";
import { PodCgroups, podFigures, targetOf } from "../figures/pod-figures.ts";
import { encodeContainerStats, encodePodSandboxStats } from "../figures/stats-encode.ts";

export interface StatsDeps {
  index: ContainerIndex;
  sampler: Sampler;
  layers: Pick<LayerSizes, "of" | "firstSizes">;
  /** Begins to measure a container's writable layer where that is not done yet. */
  noteLayer: (entry: ContainerEntry) => void;
  /** Folder whose file system has the writable layers. */
  layerFolder: () => string;
  clock: Clock;
}

/** Field number of the elements in every list response of stats. */
const itemsField = 1;

type StatsMethods =
  | "containerStats"
  | "listContainerStats"
  | "streamContainerStats"
  | "podSandboxStats"
  | "listPodSandboxStats"
  | "streamPodSandboxStats";

/**
 * ContainerStats, ListContainerStats, PodSandboxStats, ListPodSandboxStats and their streams, from
 * the kernel's files. A container that does not run has its attributes and its writable layer, as
 * with containerd; one that ends during a sweep is left out.
 */
export function statsRead(deps: StatsDeps): Pick<Handlers<typeof RuntimeService>, StatsMethods> {
  const attributes = new AttributeCache();

  /** A container's own message has no count of processes; the sum of a pod's containers has. */
  const oneContainer = (entry: ContainerEntry, pids = false): Sampled | undefined => {
    const target = targetOf(entry);
    const wanted = { ...allFigures, pids };
    const figures = target === undefined ? undefined : deps.sampler.container(target, wanted);
    // It ran a moment ago: the next list will show it as stopped.
    if (target !== undefined && figures === undefined) return undefined;
    deps.noteLayer(entry);
    const bytes = encodeContainerStats({
      attributes: attributes.of(entry),
      figures,
      layer: deps.layers.of(entry.id),
      layerFolder: deps.layerFolder(),
    });
    return { figures, bytes };
  };

  const onePod = (
    sandbox: ContainerEntry,
    members: readonly ContainerEntry[],
    cgroups: PodCgroups,
  ): Uint8Array | undefined => {
    const target = targetOf(sandbox);
    if (target === undefined) return undefined;
    const ownsParent = cgroups.ownsParent(sandbox);
    const running = members
      .filter((member) => targetOf(member) !== undefined)
      .map((member) => oneContainer(member, !ownsParent))
      .filter((sampled) => sampled !== undefined);
    const figures = podFigures(
      deps.sampler,
      target,
      ownsParent,
      running.map((sampled) => sampled.figures).filter((each) => each !== undefined),
    );
    if (figures === undefined) return undefined;
    const onHost = sandbox.inspect?.HostConfig.NetworkMode === "host";
    return encodePodSandboxStats({
      attributes: attributes.of(sandbox),
      figures,
      // The host's traffic is not the pod's.
      network: onHost ? undefined : readNetwork(target.pid, deps.clock.nowNs()),
      containers: running.map(({ bytes }) => bytes),
    });
  };

  const listContainers = async (
    filter: ContainerStatsFilter | undefined,
  ): Promise<Uint8Array[]> => {
    const entries = (await deps.index.containers()).filter(
      (entry) => isContainer(entry) && matchesContainerStats(containerFields(entry), filter),
    );
    const found: Uint8Array[] = [];
    await deps.sampler.sweep(entries, (entry) => {
      const sampled = oneContainer(entry);
      if (sampled !== undefined) found.push(sampled.bytes);
    });
    return found;
  };

  const listPods = async (filter: PodSandboxStatsFilter | undefined): Promise<Uint8Array[]> => {
    // The containers are not used as a list, but waited for: one just started has no pid yet.
    const [sandboxes] = await Promise.all([deps.index.sandboxes(), deps.index.containers()]);
    const cgroups = new PodCgroups(sandboxes);
    const wanted = sandboxes.filter(
      (entry) =>
        isSandbox(entry) &&
        matchesPodSandboxStats({ id: entry.id, labels: entry.identity.labels }, filter),
    );
    const found: Uint8Array[] = [];
    await deps.sampler.sweep(wanted, (entry) => {
      const bytes = onePod(entry, deps.index.peekMembers(entry.id), cgroups);
      if (bytes !== undefined) found.push(bytes);
    });
    return found;
  };

  return {
    containerStats: async ({ containerId }) => {
      if (containerId === "") throw invalidArgument("container id is empty");
      const entry = await deps.index.find("container", containerId);
      const sampled = entry === undefined ? undefined : oneContainer(entry);
      if (sampled === undefined) throw notFound(`no container ${containerId}`);
      return new Encoded(joinList(itemsField, [sampled.bytes]));
    },
    listContainerStats: async ({ filter }) =>
      new Encoded(joinList(itemsField, await listContainers(filter))),
    streamContainerStats: async function* ({ filter }) {
      for (const part of chunked(await listContainers(filter))) {
        yield new Encoded(joinList(itemsField, part));
      }
    },
    podSandboxStats: async ({ podSandboxId }) => {
      if (podSandboxId === "") throw invalidArgument("pod sandbox id is empty");
      const sandbox = await deps.index.find("podsandbox", podSandboxId);
      if (sandbox === undefined) throw notFound(`no pod sandbox ${podSandboxId}`);
      const cgroups = new PodCgroups(await deps.index.sandboxes());
      const bytes = onePod(sandbox, await deps.index.membersOf(sandbox.id), cgroups);
      if (bytes === undefined) {
        throw new CriError("FailedPrecondition", `pod sandbox ${podSandboxId} does not run`);
      }
      return new Encoded(joinList(itemsField, [bytes]));
    },
    listPodSandboxStats: async ({ filter }) =>
      new Encoded(joinList(itemsField, await listPods(filter))),
    streamPodSandboxStats: async function* ({ filter }) {
      for (const part of chunked(await listPods(filter))) {
        yield new Encoded(joinList(itemsField, part));
      }
    },
  };
}

interface Sampled {
  figures: CgroupFigures | undefined;
  bytes: Uint8Array;
}

/** Who the figures belong to, encoded once for each entry of the index. */
class AttributeCache {
  readonly #encoded = new WeakMap<ContainerEntry, Uint8Array>();

  of(entry: ContainerEntry): Uint8Array {
    let bytes = this.#encoded.get(entry);
    if (bytes === undefined) {
      const { identity } = entry;
      const { labels, annotations } = identity;
      bytes =
        identity.kind === "container"
          ? toBinary(
              ContainerAttributesSchema,
              create(ContainerAttributesSchema, {
                id: entry.id,
                metadata: { ...identity.metadata },
                labels,
                annotations,
              }),
            )
          : toBinary(
              PodSandboxAttributesSchema,
              create(PodSandboxAttributesSchema, {
                id: entry.id,
                metadata: { ...identity.metadata },
                labels,
                annotations,
              }),
            );
      this.#encoded.set(entry, bytes);
    }
    return bytes;
  }
}

function containerFields(entry: ContainerEntry): {
  id: string;
  podSandboxId: string;
  labels: Readonly<Record<string, string>>;
} {
  const { identity } = entry;
  return {
    id: entry.id,
    podSandboxId: identity.kind === "container" ? identity.podSandboxId : "",
    labels: identity.labels,
  };
}
