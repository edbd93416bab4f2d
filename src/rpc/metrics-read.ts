import { isContainer, isSandbox } from "../convert/container-facts.ts";
import type { ContainerFacts, SandboxFacts } from "../convert/container-facts.ts";
import { parseTimeNs } from "../convert/time.ts";
import { Encoded } from "../cri/bind.ts";
import type { Handlers } from "../cri/bind.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import { joinList } from "../index/encoded.ts";
import { deviceName, fileSystemOf } from "../stats/devices.ts";
import { commonLabels, metricCatalog } from "../stats/metric-catalog.ts";
import { readNetwork } from "../stats/net-dev.ts";
import { processFigures } from "../stats/process-figures.ts";
import { chunked } from "./chunked.ts";
import {
  cgroupMetrics,
  containerMetrics,
  layerMetrics,
  networkMetrics,
} from "../figures/metric-values.ts";
import type { LayerFs } from "../figures/metric-values.ts";
import { MetricWriter, encodePodMetrics } from "../figures/metric-writer.ts";
import { PodCgroups, targetOf } from "../figures/pod-figures.ts";
import type { StatsDeps } from "./stats-read.ts";

export interface MetricsDeps extends StatsDeps {
  /** The image's name as ContainerStatus shows it. */
  imageName(entry: ContainerEntry): string;
}

type MetricsMethods = "listMetricDescriptors" | "listPodSandboxMetrics" | "streamPodSandboxMetrics";

/** Field number of the elements in every list response of metrics. */
const itemsField = 1;
/** How long the series of a container just started wait for its layer's first walk. */
const firstLayerMs = 500;
/** In one message: a pod has some hundred series, 20 kB. */
const podsInChunk = 20;

/**
 * ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics: cAdvisor's series for the
 * kubelet's `/metrics/cadvisor` under the gate PodAndContainerStatsFromCRI. Network counters belong
 * to the pause container, as cAdvisor has it.
 */
export function metricsRead(
  deps: MetricsDeps,
): Pick<Handlers<typeof RuntimeService>, MetricsMethods> {
  /** The series of one running container or pause container; undefined when it has just ended. */
  const seriesOf = (
    entry: ContainerFacts | SandboxFacts,
    fs: LayerFs | undefined,
  ): MetricWriter | undefined => {
    const target = targetOf(entry as ContainerEntry);
    const figures = target === undefined ? undefined : deps.sampler.container(target);
    const details = target === undefined ? undefined : deps.sampler.details(target);
    if (target === undefined || figures === undefined || details === undefined) return undefined;
    const { identity } = entry;
    const workload = identity.kind === "container";
    const { name: pod, namespace } = workload ? identity.podSandboxMetadata : identity.metadata;
    const out = new MetricWriter({
      id: deps.sampler.pathOf(target),
      name: entry.id,
      image: deps.imageName(entry as ContainerEntry),
      container: workload ? identity.metadata.name : "",
      pod,
      namespace,
    });
    cgroupMetrics(out, figures, details);
    if (workload) {
      containerMetrics(out, details, {
        processes: processFigures(details.processIds, target.pid),
        startedAtNs: parseTimeNs(entry.state.StartedAt),
        deviceName,
      });
      if (fs !== undefined) layerMetrics(out, fs, deps.layers.of(entry.id));
    }
    const shared = entry.inspect?.HostConfig.NetworkMode === "host";
    if (!workload && !shared) {
      const network = readNetwork(target.pid, figures.atNs);
      if (network !== undefined) networkMetrics(out, network);
    }
    return out;
  };

  /** The pod's own cgroup, which has no container's name. */
  const podSeries = (sandbox: SandboxFacts): Uint8Array[] => {
    const target = targetOf(sandbox as ContainerEntry);
    if (target === undefined) return [];
    const figures = deps.sampler.parentOf(target);
    const details = deps.sampler.parentDetails(target);
    if (figures === undefined || details === undefined) return [];
    const { name: pod, namespace } = sandbox.identity.metadata;
    const id = deps.sampler.parentPathOf(target);
    const out = new MetricWriter({ id, name: "", image: "", container: "", pod, namespace });
    cgroupMetrics(out, figures, details);
    return [out.finish()];
  };

  const list = async (): Promise<Uint8Array[]> => {
    // The containers are not used as a list, but waited for: one just started has no pid yet.
    const [sandboxes] = await Promise.all([deps.index.sandboxes(), deps.index.containers()]);
    const cgroups = new PodCgroups(sandboxes);
    const fs = await fileSystemOf(deps.layerFolder());
    for (const { id } of sandboxes) deps.index.peekMembers(id).forEach(deps.noteLayer);
    await deps.layers.firstSizes(firstLayerMs);
    const found: Uint8Array[] = [];
    await deps.sampler.sweep(sandboxes, (sandbox) => {
      if (!isSandbox(sandbox)) return;
      const pause = seriesOf(sandbox, fs);
      if (pause === undefined) return;
      const own = cgroups.ownsParent(sandbox) ? podSeries(sandbox) : [];
      const containers = deps.index.peekMembers(sandbox.id).flatMap((member) => {
        const series = isContainer(member) ? seriesOf(member, fs) : undefined;
        return series === undefined ? [] : [[member.id, series.finish()] as const];
      });
      found.push(encodePodMetrics(sandbox.id, [...own, pause.finish()], containers));
    });
    return found;
  };

  return {
    listMetricDescriptors: () =>
      Promise.resolve({
        descriptors: metricCatalog.map(({ name, help, labels }) => ({
          name,
          help,
          labelKeys: [...commonLabels, ...labels],
        })),
      }),
    listPodSandboxMetrics: async () => new Encoded(joinList(itemsField, await list())),
    streamPodSandboxMetrics: async function* () {
      for (const part of chunked(await list(), podsInChunk)) {
        yield new Encoded(joinList(itemsField, part));
      }
    },
  };
}
