import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Metric } from "../../src/gen/runtime/v1/api_pb.js";
import { until } from "../support/until.ts";
import { probeArchives, probeImage } from "./probe-image.ts";
import { sandboxOf } from "./run-plan.ts";
import { containerdSide, docklineSide, removePods } from "./sides.ts";
import type { DocklineSide, Side } from "./sides.ts";

interface Figures {
  /** Name of a series → its labels, as ListMetricDescriptors has them. */
  labels: Map<string, string[]>;
  pod: Metric[];
  container: Metric[];
}

/**
 * The series by which a kubelet fills /metrics/cadvisor, of one pod that both runtimes run. On cgroup v1
 * containerd sends those of a pod's network and none of a container.
 */
describe("metrics of Dockline and of containerd", () => {
  let dockline: DocklineSide;
  let containerd: Side;
  let ours: Figures;
  let theirs: Figures;
  before(async function () {
    this.timeout(180_000);
    const archives = await probeArchives();
    dockline = await docklineSide(archives);
    containerd = await containerdSide(archives);
    [ours, theirs] = await Promise.all([figuresOf(dockline), figuresOf(containerd)]);
  });
  after(async function () {
    this.timeout(60_000);
    await Promise.all([removePods(dockline), removePods(containerd)]);
    await containerd.close();
    await dockline.close();
  });

  it("are described alike: every series of containerd is there, with its labels", () => {
    expect(theirs.labels.size).to.be.at.least(49);
    const differ = [...theirs.labels]
      .map(([name, labels]) => [name, labels.join(), lacking(labels, ours.labels.get(name))])
      .filter(([, , lack]) => lack !== "");
    expect(differ).to.deep.equal([]);
  });

  it("have the same series of the pod's network, with the pod's names", () => {
    expect(namesOf(theirs.pod).length).to.be.greaterThan(0);
    expect(namesOf(ours.pod)).to.include.members(namesOf(theirs.pod));
    for (const { pod, labels } of [ours, theirs]) {
      for (const { name, labelValues } of pod) {
        const keys = labels.get(name) ?? [];
        expect(labelValues, name).to.have.length(keys.length);
        expect(labelValues[keys.indexOf("pod")], name).to.equal("metrics");
        expect(labelValues[keys.indexOf("namespace")], name).to.equal("test");
      }
    }
  });

  it("have a value of the container for every series that containerd describes", () => {
    const pods = new Set(namesOf(theirs.pod));
    // Of what this container has none: events that were, and devices that it used.
    const none = /^container_(fs_(reads|writes)|blkio|oom_events|hugetlb|pressure)/;
    const missing = [...theirs.labels.keys()].filter(
      (name) => !pods.has(name) && !none.test(name) && !namesOf(ours.container).includes(name),
    );
    expect(missing).to.deep.equal([]);
  });

  it("have a container's series with the same labels and like values as containerd's, on cgroup v2", function () {
    if (existsSync("/sys/fs/cgroup/memory")) this.skip();
    expect(theirs.container.length).to.be.greaterThan(20);
    const own = valuesOf(ours);
    const unlike = valuesOf(theirs).flatMap(({ name, labels, value }) => {
      // Ours may have more labels, as cAdvisor's do.
      const found = own.filter(
        (one) =>
          one.name === name &&
          Object.entries(labels).every(([key, label]) => one.labels[key] === label),
      );
      const isThere = found.length > 0 && asCadvisor.has(name);
      if (isThere || found.some((one) => areLike(name, one.value, value))) return [];
      const seen = found.map((one) => one.value).join(" or ") || "nothing";
      return [`${name} ${JSON.stringify(labels)}: ${seen}, containerd ${value}`];
    });
    expect(unlike).to.deep.equal([]);
  });
});

/** A container's values, without what names the container, and the file system, which cAdvisor names by its device. */
function valuesOf({ container, labels: keysOf }: Figures) {
  return container.map(({ name, labelValues, value }) => {
    const labels: Record<string, string> = {};
    for (const [at, key] of (keysOf.get(name) ?? []).entries()) {
      const isOwn = ["id", "name", "image"].includes(key);
      const isDisk = key === "device" && name.startsWith("container_fs_");
      if (!isOwn && !isDisk) labels[key] = labelValues[at] ?? "";
    }
    return { name, labels, value: Number(value?.value ?? 0n) };
  });
}

/** Where cAdvisor and containerd differ, the kubelet's dashboards know cAdvisor's: docs/metrics.md. */
const asCadvisor = new Set([
  "container_fs_inodes_total",
  "container_threads_max",
  "container_spec_memory_swap_limit_bytes",
]);

/** Settings are the same; what was measured of two processes is of one order, so that another unit is seen. */
function areLike(name: string, own: number, other: number): boolean {
  if (/^container_spec_/.test(name)) return own === other;
  const [low, high] = own < other ? [own, other] : [other, own];
  return high <= 100 || low * 30 >= high;
}

const namesOf = (metrics: readonly Metric[]): string[] => [
  ...new Set(metrics.map(({ name }) => name)),
];

/** What of `wanted` is not in `found`; a series that is not there lacks itself. */
function lacking(wanted: readonly string[], found: readonly string[] | undefined): string {
  if (found === undefined) return "the series";
  return wanted.filter((label) => !found.includes(label)).join();
}

/** Starts a pod with one container and waits until the runtime has figures. */
async function figuresOf(side: Side): Promise<Figures> {
  const logs = join(side.folder, "metrics-log");
  mkdirSync(logs, { recursive: true });
  const config = sandboxOf({ name: "metrics", sandbox: {}, containers: [] }, logs);
  const { podSandboxId } = await side.runtime.runPodSandbox({ config });
  const { containerId } = await side.runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: "main", attempt: 0 },
      image: { image: probeImage },
      command: ["/bin/probe"],
      envs: [{ key: "PROBE_SECONDS", value: Buffer.from("600") }],
      labels: { "io.kubernetes.container.name": "main" },
      linux: {
        resources: { cpuPeriod: 100_000n, cpuQuota: 50_000n, memoryLimitInBytes: 67_108_864n },
      },
    },
  });
  await side.runtime.startContainer({ containerId });
  const { descriptors } = await side.runtime.listMetricDescriptors({});
  const labels = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
  const figures: Figures = { labels, pod: [], container: [] };
  await until(async () => {
    const { podMetrics } = await side.runtime.listPodSandboxMetrics({});
    const found = podMetrics.find((one) => one.podSandboxId === podSandboxId);
    const container = found?.containerMetrics.find((one) => one.containerId === containerId);
    figures.pod = found?.metrics ?? [];
    figures.container = container?.metrics ?? [];
    // The size of the writable layer comes once it was walked.
    const complete =
      side.name === "containerd" || namesOf(figures.container).includes("container_fs_usage_bytes");
    return figures.pod.length > 0 && complete;
  });
  return figures;
}
