import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { status as GrpcCode } from "@grpc/grpc-js";
import { expect } from "chai";
import { CgroupDriver } from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerStats, PodSandboxStats } from "../../src/gen/runtime/v1/api_pb.js";
import { memoryOf, removeCgroup, ticksOf } from "../support/cgroup-truth.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  removeAllPods,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { seen } from "../support/seen.ts";
import { startSink } from "../support/sink.ts";
import type { Sink } from "../support/sink.ts";
import { until } from "../support/until.ts";

const mebibyte = 1n << 20n;
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("figures of containers and pods", function () {
  this.timeout(120_000);
  let node: TestNode;
  let sink: Sink;
  let pod: RunningPod;
  let cgroupParent: string;

  before(async () => {
    node = await startNode();
    sink = await startSink();
    const { linux } = await node.runtime.runtimeConfig({});
    const name = `docklinestats${process.pid}`;
    cgroupParent = linux?.cgroupDriver === CgroupDriver.SYSTEMD ? `${name}.slice` : `/${name}`;
    pod = await runPod(node, inOwnCgroup());
  });
  after(async () => {
    await removeAllPods(node);
    sink.close();
    await node.close();
    removeCgroup(cgroupParent);
  });

  // A test that failed half-way must not count in the next one's figures.
  afterEach(async () => {
    const { containers } = await node.runtime.listContainers({});
    await Promise.all(containers.map(({ id }) => remove(id)));
  });

  const inOwnCgroup = (): ReturnType<typeof sandboxConfig> => {
    const config = sandboxConfig(node);
    return { ...config, linux: { ...config.linux, cgroupParent } };
  };
  const run = (script: string, fields: ContainerInit = {}): Promise<string> =>
    startContainer(node, pod, containerConfig(script, fields));
  const statsOf = async (containerId: string): Promise<ContainerStats> =>
    (await node.runtime.containerStats({ containerId })).stats!;
  const podStats = async (): Promise<PodSandboxStats> =>
    (await node.runtime.podSandboxStats({ podSandboxId: pod.podSandboxId })).stats!;
  const remove = async (containerId: string): Promise<void> => {
    await node.runtime.stopContainer({ containerId, timeout: 0n });
    await node.runtime.removeContainer({ containerId });
  };

  it("measure a processor hog of a known share @cgroup2", async () => {
    const id = await run("while :; do :; done", {
      metadata: { name: "hog" },
      linux: { resources: { cpuPeriod: 100_000n, cpuQuota: 20_000n } },
    });
    const { State } = await node.docker.inspectContainer(id);
    // The kernel's own account of the process, in ticks of 10 ms. What runc burnt in this cgroup before
    // it is in the first figure.
    const ticks = (): bigint => ticksOf(State.Pid) * 10_000_000n;
    const before = ticks();
    const first = (await statsOf(id)).cpu!;
    const sampled = ticks();
    expect(first.usageNanoCores).to.equal(undefined);
    await wait(4_000);
    const truthBefore = ticks();
    const second = (await statsOf(id)).cpu!;
    const truthAfter = ticks();
    const usage = second.usageCoreNanoSeconds!.value;
    const grown = usage - first.usageCoreNanoSeconds!.value;
    const [least, most] = [truthBefore - sampled, truthAfter - before];
    expect(grown >= least - 20_000_000n && grown <= most + 20_000_000n).to.equal(
      true,
      `${grown} beside ${least} … ${most}`,
    );
    const elapsedNs = Number(second.timestamp - first.timestamp);
    const rate = Number(grown) / elapsedNs;
    const nanoCores = Number(second.usageNanoCores!.value);
    expect(nanoCores).to.be.closeTo(rate * 1e9, rate * 1e8);
    // A busy machine may give it less than its share, never more.
    expect(nanoCores).to.be.within(0.08e9, 0.23e9);
    seen("CPU time of a fifth of a core, ns", grown, `${least} … ${most}`);
    seen("its nano cores", nanoCores, Math.round(rate * 1e9));
    const whole = (await podStats()).linux!.cpu!;
    expect(whole.usageCoreNanoSeconds!.value >= usage).to.equal(true);
    await remove(id);
  });

  it("leave a file that was only written once out of the working set @systemd", async () => {
    const id = await run(
      "dd if=/dev/zero of=/cached bs=1M count=32 2>/dev/null; echo ready; while :; do sleep 1; done",
      {
        metadata: { name: "cache" },
        linux: { resources: { memoryLimitInBytes: 128n * mebibyte } },
      },
    );
    await until(async () => (await statsOf(id)).memory!.usageBytes!.value > 30n * mebibyte);
    const { State } = await node.docker.inspectContainer(id);
    const { memory } = await statsOf(id);
    const truth = memoryOf(State.Pid, id);
    expectNear(memory!.usageBytes!.value, truth.usage, mebibyte);
    expectNear(memory!.workingSetBytes!.value, truth.usage - truth.inactiveFile, mebibyte);
    expectNear(memory!.rssBytes!.value, truth.anonymous, mebibyte);
    expect(memory!.workingSetBytes!.value < 12n * mebibyte).to.equal(true);
    seen("memory usage with 32 MiB cached, bytes", memory!.usageBytes!.value, truth.usage);
    seen("its working set", memory!.workingSetBytes!.value, truth.usage - truth.inactiveFile);
    seen("its rss", memory!.rssBytes!.value, truth.anonymous);
    const available = 128n * mebibyte - memory!.workingSetBytes!.value;
    expect(memory!.availableBytes!.value).to.equal(available);
    expect(memory!.pageFaults!.value > 0n).to.equal(true);
    await remove(id);
  });

  it("count bytes that the pod sent over its network @cgroup2", async () => {
    const before = (await podStats()).linux!.network!.defaultInterface!;
    const alreadyReceived = sink.received();
    const id = await run(
      `dd if=/dev/zero bs=64k count=320 2>/dev/null | nc $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p') ${sink.port}; while :; do sleep 1; done`,
      { metadata: { name: "sender" } },
    );
    const sent = 20 * Number(mebibyte);
    await until(() => sink.received() - alreadyReceived >= sent, 30_000, "20 MiB received");
    const network = (await podStats()).linux!.network!;
    const after = network.defaultInterface!;
    expect(after.name).to.equal("eth0");
    const tx = Number(after.txBytes!.value - before.txBytes!.value);
    // Headers of Ethernet, IP and TCP, and what is sent again.
    expect(tx).to.be.within(sent, sent * 1.1);
    seen("network sent, bytes", tx, `${sent} and headers`);
    expect(after.rxBytes!.value > before.rxBytes!.value).to.equal(true);
    expect(after.txErrors!.value).to.equal(0n);
    expect(network.interfaces).to.deep.equal([]);
    await remove(id);
  });

  it("count processes of the whole pod @cgroup2", async () => {
    const id = await run("for i in 1 2 3 4 5 6 7; do sleep 1000 & done; wait", {
      metadata: { name: "forks" },
    });
    // The shell, its seven children, and the pause program.
    await until(async () => (await podStats()).linux!.process!.processCount!.value === 9n);
    seen("processes", 9, 9);
    await remove(id);
  });

  it("measure the writable layer as du does", async () => {
    const id = await run(
      "dd if=/dev/zero of=/big bs=1M count=16 2>/dev/null; mkdir /many; i=0; while [ $i -lt 200 ]; do echo $i >/many/$i; i=$((i+1)); done; ln /big /big2; sync; touch /done; while :; do sleep 1; done",
      { metadata: { name: "writer" } },
    );
    await until(async () => (await shell(node, id, "ls /done || true")) === "/done");
    const { State } = await node.docker.inspectContainer(id);
    const upper = /upperdir=([^,]+)/.exec(
      readFileSync(`/proc/${State.Pid}/mountinfo`, "utf8"),
    )![1]!;
    const truthBytes = Number(
      execFileSync("du", ["-s", "--block-size=1", upper], { encoding: "utf8" }).split("\t")[0],
    );
    const names = execFileSync("find", [upper], { encoding: "utf8" }).trim().split("\n").length;
    await until(
      async () => (await statsOf(id)).writableLayer?.inodesUsed?.value === BigInt(names - 1),
      60_000,
      "the layer's inodes",
    );
    const { writableLayer } = await statsOf(id);
    expectNear(writableLayer!.usedBytes!.value, BigInt(truthBytes), 65_536n);
    seen("writable layer, bytes", writableLayer!.usedBytes!.value, truthBytes);
    seen("its inodes", writableLayer!.inodesUsed!.value, names - 1);
    expect(writableLayer!.timestamp > 0n).to.equal(true);
    const { imageFilesystems } = await node.images.imageFsInfo({});
    expect(writableLayer!.fsId!.mountpoint).to.equal(imageFilesystems[0]!.fsId!.mountpoint);
    await remove(id);
  });

  it("show a stopped container without figures, and nothing of an unknown one", async () => {
    const id = await run("exit 0", { metadata: { name: "ended" } });
    await until(async () => (await statsOf(id)).cpu === undefined);
    const stats = await statsOf(id);
    expect(stats.attributes!.metadata!.name).to.equal("ended");
    expect(stats.memory).to.equal(undefined);
    const { stats: listed } = await node.runtime.listContainerStats({ filter: { id } });
    expect(listed.map(({ attributes }) => attributes!.id)).to.deep.equal([id]);
    await node.runtime.removeContainer({ containerId: id });
    const refused = await statsOf(id).then(
      () => GrpcCode.OK,
      (error: unknown) => (error as { code: GrpcCode }).code,
    );
    expect(refused).to.equal(GrpcCode.NOT_FOUND);
  });

  it("go on while containers end in the middle of a sweep", async () => {
    const lives = Array.from({ length: 8 }, (_, at) => `sleep 0.${at + 1}`);
    const ids = await Promise.all(
      lives.map((script, at) => run(script, { metadata: { name: `brief${at}` } })),
    );
    let sweeps = 0;
    let running = ids.length;
    while (running > 0) {
      const { stats } = await node.runtime.listContainerStats({});
      const ours = stats.filter(({ attributes }) => ids.includes(attributes!.id));
      for (const { cpu, memory } of ours) {
        expect(cpu === undefined).to.equal(memory === undefined);
        if (cpu !== undefined) expect(cpu.usageCoreNanoSeconds).to.not.equal(undefined);
      }
      running = ours.length < ids.length ? 1 : ours.filter(({ cpu }) => cpu !== undefined).length;
      await node.runtime.listPodSandboxStats({});
      await node.runtime.listPodSandboxMetrics({});
      sweeps += 1;
      expect(sweeps).to.be.below(2000);
    }
    await Promise.all(ids.map(remove));
  });

  it("cost no request to the engine, in lists and streams alike", async () => {
    const id = await run("while :; do sleep 1; done", { metadata: { name: "idle" } });
    await statsOf(id);
    await wait(500);
    node.proxy.reset();
    const logged = node.log().length;
    const { runtime } = node;
    const listed = (await runtime.listContainerStats({})).stats;
    const streamed: ContainerStats[] = [];
    for await (const part of runtime.streamContainerStats({})) {
      streamed.push(...part.containerStats);
    }
    expect(idsOf(streamed)).to.deep.equal(idsOf(listed));
    const pods = (await runtime.listPodSandboxStats({})).stats;
    expect(idsOf(pods)).to.include(pod.podSandboxId);
    const streamedPods: PodSandboxStats[] = [];
    for await (const part of runtime.streamPodSandboxStats({})) {
      streamedPods.push(...part.podSandboxStats);
    }
    expect(idsOf(streamedPods)).to.deep.equal(idsOf(pods));
    await runtime.listPodSandboxMetrics({});
    await podStats();
    await statsOf(id);
    await node.images.imageFsInfo({});
    // The index's own ping and reconcile lists go on by the clock.
    const own = /^(GET|HEAD) (\/_ping|\/containers\/json|\/images\/json)$/;
    const requests = node.proxy.requests.map(({ method, route }) => `${method} ${route}`);
    expect(requests.filter((request) => !own.test(request))).to.deep.equal([]);
    const calls = (): number[] =>
      node
        .log()
        .slice(logged)
        .split("\n")
        .filter(
          (line) => line.includes('"msg":"call"') && /"rpc":"\w*(Stats|Metrics|FsInfo)"/.test(line),
        )
        .map((line) => (JSON.parse(line) as { docker: number }).docker);
    await until(() => calls().length >= 8);
    expect(calls().every((count) => count === 0)).to.equal(true);
    await remove(id);
  });

  it("give the series of the catalogue with all of their labels", async () => {
    const id = await run("echo hello >/file; while :; do sleep 1; done", {
      metadata: { name: "series" },
      linux: {
        resources: {
          cpuPeriod: 100_000n,
          cpuQuota: 20_000n,
          cpuShares: 1024n,
          memoryLimitInBytes: 64n * mebibyte,
          memorySwapLimitInBytes: 64n * mebibyte,
        },
      },
    });
    // Once its pid is known: a busy engine's inspect may take longer than a list waits.
    await until(async () => (await statsOf(id)).cpu !== undefined);
    const { descriptors } = await node.runtime.listMetricDescriptors({});
    expect(descriptors).to.have.length(58);
    const { podMetrics } = await node.runtime.listPodSandboxMetrics({});
    const own = podMetrics.find(({ podSandboxId }) => podSandboxId === pod.podSandboxId)!;
    const container = own.containerMetrics.find(({ containerId }) => containerId === id)!;
    const all = [...own.metrics, ...container.metrics];
    const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
    for (const { name, labelValues } of all) {
      expect(labelValues.length, name).to.equal(keys.get(name)?.length);
    }
    // Disks that count nothing, huge pages and pressure are the machine's choice.
    const optional = /blkio|fs_(reads|writes)|hugetlb|pressure/;
    const present = new Set(all.map(({ name }) => name));
    const missing = [...keys.keys()].filter((name) => !present.has(name) && !optional.test(name));
    expect(missing).to.deep.equal([]);
    const value = (name: string): bigint | undefined =>
      container.metrics.find((metric) => metric.name === name)?.value?.value;
    expect(value("container_spec_memory_limit_bytes")).to.equal(64n * mebibyte);
    expect(value("container_spec_cpu_quota")).to.equal(20_000n);
    expect(value("container_processes")).to.equal(2n);
    const [active, inactive] = (["active", "inactive"] as const).map(
      (kind) => value(`container_memory_total_${kind}_file_bytes`) ?? 0n,
    );
    expect(active! + inactive! <= value("container_memory_cache")!).to.equal(true);
    // The kubelet's page may hold each combination of labels once.
    const series = all.map(({ name, labelValues }) => JSON.stringify([name, labelValues]));
    expect(new Set(series).size).to.equal(series.length);
    await remove(id);
  });

  it("add up over the containers of a pod without a cgroup of its own", async () => {
    const other = await runPod(node);
    const id = await startContainer(node, other, containerConfig("while :; do sleep 1; done"));
    const sum = async (): Promise<PodSandboxStats> =>
      (await node.runtime.podSandboxStats({ podSandboxId: other.podSandboxId })).stats!;
    // The shell, its sleep, and the pause program; Docker's common cgroup has many more.
    await until(async () => (await sum()).linux!.process!.processCount!.value === 3n);
    const before = (await statsOf(id)).memory!.pageFaults!.value;
    const whole = (await sum()).linux!;
    expect(whole.memory!.pageFaults!.value >= before).to.equal(true);
    expect(whole.memory!.usageBytes!.value < 16n * mebibyte).to.equal(true);
    expect(whole.containers.map(({ attributes }) => attributes!.id)).to.deep.equal([id]);
  });
});

function idsOf(stats: readonly { attributes?: { id: string } | undefined }[]): string[] {
  return stats.map(({ attributes }) => attributes!.id).toSorted();
}

function expectNear(found: bigint, truth: bigint, within: bigint): void {
  const apart = found > truth ? found - truth : truth - found;
  expect(apart <= within).to.equal(true, `${found} is not ${truth} ± ${within}`);
}
