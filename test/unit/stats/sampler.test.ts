import { rmSync } from "node:fs";
import { expect } from "chai";
import { DescriptorBudget } from "../../../src/stats/kept-file.ts";
import { Sampler } from "../../../src/stats/sampler.ts";
import type { CgroupMounts } from "../../../src/stats/cgroup-paths.ts";
import type { Clock } from "../../../src/sys/clock.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { containerId, v1Files, v2Files, writeTree } from "./trees.ts";

const v1Controllers = ["cpu", "cpuacct", "memory", "pids", "blkio"];
const target = { id: containerId, pid: 77 };

describe("figures from cgroups", () => {
  let folder: ReturnType<typeof tempFolder>;
  let nowMs = 1_000_000;
  const clock: Clock = {
    nowNs: () => BigInt(nowMs) * 1_000_000n,
    monotonicMs: () => nowMs,
    sleep: () => Promise.resolve(),
  };
  const open = (mounts: CgroupMounts, budget?: DescriptorBudget): Sampler =>
    new Sampler({
      clock,
      mounts,
      proc: folder.path("proc"),
      running: () => Promise.resolve([target]),
      ...(budget === undefined ? {} : { budget }),
    });
  const v1Mounts = (): CgroupMounts => ({
    v1: Object.fromEntries(v1Controllers.map((name) => [name, folder.path(name)])),
    unified: folder.path("unified"),
  });

  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(() => {
    folder.remove();
  });

  it("reads version 1, with the pressure of the unified hierarchy beside it", () => {
    writeTree(folder.path, v1Files(77, "/kubepods/burstable/pod1"));
    const sampler = open(v1Mounts());
    expect(sampler.container(target)).to.deep.equal({
      atNs: BigInt(nowMs) * 1_000_000n,
      cpuUsageNs: 22_761_237n,
      cpuNanoCores: undefined,
      cpuPsi: {
        some: { totalUs: 23_161n, avg10: 1.5, avg60: 0.25, avg300: 0 },
        full: { totalUs: 17_993n, avg10: 0, avg60: 0, avg300: 0 },
      },
      memory: {
        usageBytes: 50_000_000n,
        workingSetBytes: 17_000_000n,
        availableBytes: 67_108_864n - 17_000_000n,
        rssBytes: 16_000_000n,
        pageFaults: 840n,
        majorPageFaults: 3n,
      },
      memoryPsi: undefined,
      swap: { usageBytes: 1_048_576n, availableBytes: 67_108_864n - 1_048_576n },
      ioPsi: undefined,
      pids: 4n,
    });
    const pod = sampler.parentOf(target);
    expect(pod?.cpuUsageNs).to.equal(22_761_237n * 3n);
    expect(pod?.memory?.availableBytes).to.equal(undefined);
    expect(sampler.parentPathOf(target)).to.equal("/kubepods/burstable/pod1");
    sampler.close();
  });

  it("reads version 1's further figures for dashboards", () => {
    writeTree(folder.path, v1Files(77, "/pod1"));
    const sampler = open(v1Mounts());
    expect(sampler.details(target)).to.deep.include({
      cpuUserNs: 9_754_000n,
      cpuSystemNs: 13_006_000n,
      cfsPeriods: 7n,
      cfsThrottledPeriods: 3n,
      cfsThrottledNs: 2_500_000_000n,
      cpuShares: 51n,
      cpuQuotaUs: undefined,
      cacheBytes: 33_554_432n,
      activeFileBytes: 500_000n,
      inactiveFileBytes: 33_000_000n,
      kernelBytes: 4096n,
      maxUsageBytes: 60_000_000n,
      failures: 2n,
      oomKills: 1n,
      ownPageFaults: 11n,
      memoryLimitBytes: 67_108_864n,
      memoryReservationBytes: 0n,
      memorySwapLimitBytes: 134_217_728n,
      pidsMax: 0n,
      processIds: [101, 102],
      io: [{ major: "8", minor: "0", readBytes: 4096n, writeBytes: 8192n, reads: 1n, writes: 2n }],
    });
    sampler.close();
  });

  it("reads version 2 under systemd, whatever cgroups the workload made below its own", () => {
    writeTree(folder.path, v2Files(77, "/kubepods.slice/kubepods-pod1.slice"));
    const sampler = open({ v1: {}, unified: folder.path("unified") });
    const figures = sampler.container(target);
    expect(figures?.cpuUsageNs).to.equal(22_761_000n);
    expect(figures?.memory).to.deep.equal({
      usageBytes: 50_000_000n,
      workingSetBytes: 17_000_000n,
      availableBytes: 67_108_864n - 17_000_000n,
      rssBytes: 16_000_000n,
      pageFaults: 840n,
      majorPageFaults: 3n,
    });
    expect(figures?.swap).to.deep.equal({ usageBytes: 1_048_576n, availableBytes: 32_505_856n });
    expect(figures?.pids).to.equal(4n);
    expect(sampler.parentOf(target)?.cpuUsageNs).to.equal(90_000_000n);
    expect(sampler.details(target)).to.deep.include({
      cpuQuotaUs: 20_000n,
      cpuPeriodUs: 100_000n,
      cpuShares: 998n,
      // As cAdvisor and containerd: the kernel counts no failures there.
      failures: 0n,
      cfsThrottledNs: 2_500_000_000n,
      activeFileBytes: 500_000n,
      inactiveFileBytes: 33_000_000n,
      memoryLimitBytes: 67_108_864n,
      // What cAdvisor shows: memory.min, and swap without the memory.
      memoryReservationBytes: 8_388_608n,
      memorySwapLimitBytes: 33_554_432n,
      maxUsageBytes: 60_000_000n,
      pidsMax: 100n,
      processIds: [101, 102],
      hugetlb: [{ pageSize: "2MB", usageBytes: 2_097_152n, maxUsageBytes: undefined }],
      io: [{ major: "8", minor: "0", readBytes: 4096n, writeBytes: 8192n, reads: 1n, writes: 2n }],
    });
    sampler.close();
  });

  it("takes a rate from readings at least a second apart, and keeps it until the next", () => {
    writeTree(folder.path, v1Files(77, "/pod1"));
    const sampler = open(v1Mounts());
    const usage = `cpuacct/pod1/${containerId}/cpuacct.usage`;
    const rateAfter = (ms: number, usageNs: string): bigint | undefined => {
      nowMs += ms;
      writeTree(folder.path, { [usage]: usageNs });
      return sampler.container(target)?.cpuNanoCores;
    };
    expect(rateAfter(0, "1000000000\n")).to.equal(undefined);
    expect(rateAfter(500, "1400000000\n")).to.equal(undefined);
    expect(rateAfter(1500, "2000000000\n")).to.equal(500_000_000n);
    expect(rateAfter(10, "2010000000\n")).to.equal(500_000_000n);
    expect(rateAfter(9_990, "2000000000\n")).to.equal(0n);
    sampler.close();
  });

  it("leaves out what is gone, and what took over a container's pid", () => {
    writeTree(folder.path, v1Files(77, "/pod1"));
    const sampler = open(v1Mounts());
    expect(sampler.container({ id: "d".repeat(64), pid: 77 })).to.equal(undefined);
    expect(sampler.container({ id: containerId, pid: 78 })).to.equal(undefined);
    expect(sampler.container(target)).to.not.equal(undefined);
    sampler.drop(containerId);
    rmSync(folder.path("cpuacct"), { recursive: true });
    expect(sampler.container(target)).to.equal(undefined);
    sampler.close();
  });

  it("gives nothing of a container of which some hierarchies are gone already", () => {
    writeTree(folder.path, v1Files(77, "/pod1"));
    rmSync(folder.path("memory"), { recursive: true });
    const sampler = open(v1Mounts());
    expect(sampler.container(target)).to.equal(undefined);
    sampler.close();
  });

  it("does not hold on to the cgroups of a process that is leaving them", () => {
    const files = v1Files(77, "/pod1");
    const all = files["proc/77/cgroup"] ?? "";
    const leaving = all.replace(/4:memory:.*/, "4:memory:/");
    writeTree(folder.path, { ...files, "proc/77/cgroup": leaving });
    const sampler = open(v1Mounts());
    expect(sampler.container(target)).to.equal(undefined);
    writeTree(folder.path, { "proc/77/cgroup": all });
    expect(sampler.container(target)?.memory).to.not.equal(undefined);
    sampler.close();
  });

  it("reads on without descriptors to keep, and gives back those it kept", () => {
    writeTree(folder.path, v1Files(77, "/pod1"));
    const budget = new DescriptorBudget(2);
    const sampler = open(v1Mounts(), budget);
    expect(sampler.container(target)?.pids).to.equal(4n);
    expect(budget.take()).to.equal(false);
    expect(sampler.container(target)?.pids).to.equal(4n);
    sampler.close();
    expect([budget.take(), budget.take(), budget.take()]).to.deep.equal([true, true, false]);
  });
});
