import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { expectError, inspect, withContainer } from "../support/containers.ts";
import type { ResourcesInit } from "../support/containers.ts";
import { works } from "../support/fields.ts";
import type { TestNode } from "../support/node.ts";
import { containerConfig, createContainer, startContainer } from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { nodeState } from "../support/node-state.ts";
import { sharedPod } from "../support/shared-pod.ts";

const MiB = 1024n * 1024n;

describe("a container's resources", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  let count = 0;
  const config = (resources: ResourcesInit) => {
    count += 1;
    return containerConfig("sleep 1000", {
      metadata: { name: `r${count}` },
      linux: { resources, securityContext: {} },
    });
  };
  /** A cgroup file of the container, on either version of cgroups. */
  const cgroup = async (containerId: string, controller: string, v1: string, v2: string) => {
    const { State } = await inspect(node, containerId);
    const lines = readFileSync(`/proc/${State.Pid}/cgroup`, "utf8").split("\n");
    for (const line of lines) {
      const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      if (controllers.split(",").includes(controller))
        return readFileSync(join("/sys/fs/cgroup", controller, path, v1), "utf8").trim();
    }
    const unified = /^0::(.*)$/m.exec(lines.join("\n"))?.[1] ?? "/";
    return readFileSync(join("/sys/fs/cgroup", unified, v2), "utf8").trim();
  };
  const memory = (id: string) => cgroup(id, "memory", "memory.limit_in_bytes", "memory.max");
  const quota = async (id: string) =>
    (await cgroup(id, "cpu", "cpu.cfs_quota_us", "cpu.max")).split(" ")[0];
  const cpus = (id: string) => cgroup(id, "cpuset", "cpuset.cpus", "cpuset.cpus");
  const shown = async (containerId: string) =>
    (await node.runtime.containerStatus({ containerId })).status?.resources?.linux;
  const update = (containerId: string, linux: ResourcesInit) =>
    node.runtime.updateContainerResources({ containerId, linux });

  before(() => {
    ({ node, pod } = shared);
  });

  it("are in its cgroup and in its status as they were asked", async () => {
    works(
      "LinuxContainerResources.cpu_period",
      "LinuxContainerResources.cpu_quota",
      "LinuxContainerResources.cpu_shares",
      "LinuxContainerResources.cpuset_cpus",
      "LinuxContainerResources.memory_limit_in_bytes",
      "LinuxContainerResources.oom_score_adj",
    );
    const asked = {
      cpuPeriod: 50_000n,
      cpuQuota: 25_000n,
      cpuShares: 512n,
      cpusetCpus: "0",
      memoryLimitInBytes: 64n * MiB,
      oomScoreAdj: 900n,
    };
    await withContainer(node, pod, config(asked), async (id) => {
      expect(await memory(id)).to.equal(String(64n * MiB));
      expect(await quota(id)).to.equal("25000");
      expect(await cpus(id)).to.equal("0");
      const { State, HostConfig } = await inspect(node, id);
      expect(readFileSync(`/proc/${State.Pid}/oom_score_adj`, "utf8").trim()).to.equal("900");
      // Docker would double an unset swap limit.
      expect(HostConfig.MemorySwap).to.be.oneOf([Number(64n * MiB), -1]);
      expect(await shown(id)).to.deep.include(asked);
    });
  });

  it("give quotas below Docker's floor the floor, and show them as asked", async () => {
    works("LinuxContainerResources.cpu_quota=below 1 ms");
    // Of a longer period it would be so little that runc itself takes minutes for the start.
    await withContainer(node, pod, config({ cpuPeriod: 10_000n, cpuQuota: 500n }), async (id) => {
      expect(await quota(id)).to.equal("1000");
      expect((await shown(id))?.cpuQuota).to.equal(500n);
    });
  });

  it("limit memory below Docker's floor", async () => {
    works("LinuxContainerResources.memory_limit_in_bytes=below 6 MiB");
    await withContainer(node, pod, config({ memoryLimitInBytes: 5n * MiB }), async (id) => {
      expect(await memory(id)).to.equal(String(5n * MiB));
      expect((await shown(id))?.memoryLimitInBytes).to.equal(5n * MiB);
    });
  });

  it("clamp an oom score that the host forbids, and start all the same", async () => {
    await withContainer(node, pod, config({ oomScoreAdj: -997n }), async (id) => {
      const { State } = await inspect(node, id);
      const got = Number(readFileSync(`/proc/${State.Pid}/oom_score_adj`, "utf8"));
      const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
      expect(got).to.be.oneOf([-997, own]);
    });
  });

  it("are refused when no kernel could mean them", async () => {
    const bad: ResourcesInit[] = [
      { cpuPeriod: -1n },
      { cpuPeriod: 10n },
      { cpuPeriod: 1_000_001n },
      { cpuQuota: -2n },
      { cpuShares: -1n },
      { cpuShares: (1n << 53n) + 1n },
      { memoryLimitInBytes: -2n },
      { oomScoreAdj: 1001n },
      { oomScoreAdj: -1001n },
      { cpusetCpus: "0;1" },
      { cpusetMems: "../x" },
      { memoryLimitInBytes: 64n * MiB, memorySwapLimitInBytes: 32n * MiB },
    ];
    for (const resources of bad) {
      const [field = ""] = Object.keys(resources).slice(-1);
      const words = new RegExp(field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
      await expectError(createContainer(node, pod, config(resources)), "INVALID_ARGUMENT", words);
    }
    // Valid in form, not on this machine: Docker's own words.
    const call = (async () => {
      const containerId = await createContainer(node, pod, config({ cpusetCpus: "4000" }));
      await node.runtime.removeContainer({ containerId });
    })();
    await expectError(call, "INVALID_ARGUMENT", /cpus/i);
  });

  it("change while it runs, one by one, and keep what was not mentioned", async () => {
    works("UpdateContainerResourcesRequest.linux");
    const asked = { cpuShares: 512n, cpuPeriod: 100_000n, memoryLimitInBytes: 64n * MiB };
    await withContainer(node, pod, config(asked), async (id) => {
      await update(id, { memoryLimitInBytes: 128n * MiB });
      expect(await memory(id)).to.equal(String(128n * MiB));
      await update(id, { cpuQuota: 30_000n, cpuPeriod: 100_000n });
      expect(await quota(id)).to.equal("30000");
      expect(await memory(id)).to.equal(String(128n * MiB));
      await update(id, { cpuQuota: -1n });
      expect(await quota(id)).to.be.oneOf(["-1", "max"]);
      await update(id, { cpusetCpus: "0", oomScoreAdj: 950n });
      expect(await cpus(id)).to.equal("0");
      const { State } = await inspect(node, id);
      expect(readFileSync(`/proc/${State.Pid}/oom_score_adj`, "utf8").trim()).to.equal("950");
      await update(id, { memoryLimitInBytes: 32n * MiB });
      expect(await memory(id)).to.equal(String(32n * MiB));
      await update(id, { memoryLimitInBytes: -1n });
      expect(
        Number(await memory(id).then((text) => text.replace("max", "1e30"))),
      ).to.be.greaterThan(1e15);
      await update(id, { memoryLimitInBytes: 40n * MiB, cpuShares: 2n });
      expect(await memory(id)).to.equal(String(40n * MiB));
      const now = {
        cpuShares: 2n,
        cpuPeriod: 100_000n,
        cpuQuota: -1n,
        memoryLimitInBytes: 40n * MiB,
        cpusetCpus: "0",
        oomScoreAdj: 950n,
      };
      expect(await shown(id)).to.deep.include(now);

      await node.kill();
      await node.start();
      expect(await shown(id)).to.deep.include(now);
    });
  });

  it("change before the start, and not after the end", async () => {
    const { runtime } = node;
    const containerId = await createContainer(
      node,
      pod,
      config({ memoryLimitInBytes: 64n * MiB, cpuQuota: 20_000n }),
    );
    await update(containerId, { memoryLimitInBytes: 96n * MiB, cpuQuota: -1n });
    expect((await shown(containerId))?.memoryLimitInBytes).to.equal(96n * MiB);
    await runtime.startContainer({ containerId });
    expect(await memory(containerId)).to.equal(String(96n * MiB));
    expect(await quota(containerId)).to.be.oneOf(["-1", "max"]);
    await runtime.stopContainer({ containerId, timeout: 0n });
    await expectError(update(containerId, { cpuShares: 10n }), "FAILED_PRECONDITION", /has exited/);
    await runtime.removeContainer({ containerId });
    await expectError(update(containerId, { cpuShares: 10n }), "NOT_FOUND", /no container/);
    const lifted = await createContainer(node, pod, config({ memoryLimitInBytes: 64n * MiB }));
    await update(lifted, { memoryLimitInBytes: -1n, oomScoreAdj: 800n });
    await runtime.startContainer({ containerId: lifted });
    expect(Number((await memory(lifted)).replace("max", "1e30"))).to.be.greaterThan(1e15);
    const { State } = await inspect(node, lifted);
    expect(readFileSync(`/proc/${State.Pid}/oom_score_adj`, "utf8").trim()).to.equal("800");
    await runtime.removeContainer({ containerId: lifted });
    await expectError(update("", { cpuShares: 10n }), "INVALID_ARGUMENT", /empty/);
    await expectError(
      runtime.updateContainerResources({ containerId }),
      "NOT_FOUND",
      /no container/,
    );
  });

  it("refuse an update that makes no sense and leave all as it was", async () => {
    const containerId = await startContainer(node, pod, config({ memoryLimitInBytes: 64n * MiB }));
    for (const bad of [{ cpuQuota: -2n }, { cpusetCpus: "x" }, { oomScoreAdj: 5000n }]) {
      await expectError(update(containerId, bad), "INVALID_ARGUMENT", /resources/);
    }
    expect(await memory(containerId)).to.equal(String(64n * MiB));
    expect((await shown(containerId))?.memoryLimitInBytes).to.equal(64n * MiB);
    await node.runtime.removeContainer({ containerId });
  });

  it("of the pod are accepted and kept", async () => {
    works(
      "UpdatePodSandboxResourcesRequest.overhead",
      "UpdatePodSandboxResourcesRequest.resources",
    );
    const { runtime } = node;
    const { podSandboxId } = pod;
    await runtime.updatePodSandboxResources({
      podSandboxId,
      resources: { cpuShares: 100n, memoryLimitInBytes: 256n * MiB },
    });
    await runtime.updatePodSandboxResources({ podSandboxId, overhead: { cpuShares: 5n } });
    const [name = ""] = nodeState(node).records;
    const record = readFileSync(join(node.stateDir, "sandboxes", name), "utf8");
    expect(record).to.include("overhead").and.include("updatedResources");
    await expectError(
      runtime.updatePodSandboxResources({ podSandboxId: "0".repeat(64) }),
      "NOT_FOUND",
      /no pod sandbox/,
    );
  });
});
