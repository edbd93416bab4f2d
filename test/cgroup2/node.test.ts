import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { SecurityProfile_ProfileType as Profile } from "../../src/gen/runtime/v1/api_pb.js";
import {
  expectError,
  logPathOf,
  logText,
  readCriLog,
  until,
  type ResourcesInit,
  type SecurityInit,
} from "../support/containers.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  removePod,
  runPod,
  shell,
  startContainer,
  untilExited,
  type ContainerInit,
  type RunningPod,
} from "../support/pods.ts";
import { refused, works } from "../support/fields.ts";
import { podNamespaces } from "../support/oci-node.ts";
import { seen } from "../support/seen.ts";
import { loadProfile } from "./apparmor.ts";
import { ownPids, readCgroup, startMachine, type Machine } from "./machine.ts";

// Everything that needs cgroup v2, AppArmor or all capabilities, in as few containers as say it: each
// takes seconds where this runs. @cgroup2 and @systemd name the lane.

interface Limits {
  resources?: ResourcesInit;
  securityContext?: SecurityInit;
}

const MiB = 1n << 20n;
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a node on cgroup v2", function () {
  this.timeout(120_000);
  let machine: Machine;
  /** On the host's network, for containers that are not about the pod. */
  let pod: RunningPod;
  let count = 0;

  before(async () => {
    machine = await startMachine();
    pod = await runPod(machine.node, hostSandboxConfig(machine.node));
  });
  after(async () => {
    await removeAllPods(machine.node);
    await machine.close();
  });

  const config = (line: string, linux: Limits): ContainerInit => {
    count += 1;
    return containerConfig(line, {
      metadata: { name: `c${count}` },
      linux: { resources: {}, securityContext: {}, ...linux },
    });
  };
  const run = (line: string, linux: Limits): Promise<string> =>
    startContainer(machine.node, pod, config(line, linux));
  const remove = (containerId: string) => machine.node.runtime.removeContainer({ containerId });

  describe("the life of a pod @cgroup2 @systemd", () => {
    it("is in the kubelet's cgroups, and leaves none", async () => {
      works(
        "LinuxContainerResources.memory_limit_in_bytes",
        "LinuxContainerResources.cpu_shares",
        "LinuxContainerResources.cpu_period",
        "LinuxContainerResources.cpu_quota",
        "LinuxContainerResources.oom_score_adj",
        "LinuxPodSandboxConfig.cgroup_parent",
        "UpdateContainerResourcesRequest.linux",
      );
      const { node } = machine;
      const { sandbox, cgroup } = machine.podOf("life");
      const own = await runPod(node, sandbox);
      const main = containerConfig("echo hello; exec sleep 1000", {
        linux: {
          resources: {
            memoryLimitInBytes: 64n * MiB,
            cpuShares: 1024n,
            cpuPeriod: 100_000n,
            cpuQuota: 20_000n,
            oomScoreAdj: -997n,
          },
          securityContext: ownPids,
        },
      });
      const id = await startContainer(node, own, main);
      const pid = await machine.pidOf(id);
      const leaf = machine.systemd ? `docker-${id}.scope` : id;
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).to.equal(`0::${cgroup}/${leaf}\n`);
      expect(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim()).to.equal("-997");
      expect(await machine.cgroupFile(id, "memory.max")).to.equal(String(64n * MiB));
      expect(await machine.cgroupFile(id, "cpu.max")).to.equal("20000 100000");
      // 1024 shares of v1, on the scale of v2, as runc and systemd both have it.
      expect(await machine.cgroupFile(id, "cpu.weight")).to.equal("39");
      expect(await shell(node, id, "ip -4 addr show eth0")).to.contain("inet ");
      await until("the log is written", () => logText(readCriLog(logPathOf(own, main))) !== "");
      expect(logText(readCriLog(logPathOf(own, main)))).to.equal("hello\n");

      await node.runtime.updateContainerResources({
        containerId: id,
        linux: { memoryLimitInBytes: 96n * MiB, memorySwapLimitInBytes: 96n * MiB },
      });
      expect(await machine.cgroupFile(id, "memory.max")).to.equal(String(96n * MiB));
      const { status } = await node.runtime.containerStatus({ containerId: id });
      expect(status?.resources?.linux?.memoryLimitInBytes).to.equal(96n * MiB);

      await node.runtime.stopContainer({ containerId: id, timeout: 0n });
      expect((await untilExited(node, id)).exitCode).to.equal(137);
      await removePod(node, own);
      expect(existsSync(join("/sys/fs/cgroup", cgroup, leaf))).to.equal(false);
    });
  });

  describe("the memory's end @cgroup2 @systemd", () => {
    it("is an OOM kill with its reason", async () => {
      const resources = { memoryLimitInBytes: 24n * MiB, memorySwapLimitInBytes: 24n * MiB };
      const id = await run("exec dd if=/dev/zero of=/dev/null bs=256M", { resources });
      const { exitCode, reason } = await untilExited(machine.node, id, 60_000);
      expect({ exitCode, reason }).to.deep.equal({ exitCode: 137, reason: "OOMKilled" });
      await remove(id);
    });

    it("takes all processes along when memory.oom.group says so before they run", async () => {
      works("LinuxContainerResources.unified", "LinuxContainerResources.unified=memory.oom.group");
      const unified = { "memory.oom.group": "1", "memory.high": String(64n * MiB) };
      const line =
        "cat /sys/fs/cgroup/memory.oom.group /sys/fs/cgroup/memory.high; " +
        "sleep 1000 & dd if=/dev/zero of=/dev/null bs=256M; sleep 1000";
      const limits = { memoryLimitInBytes: 24n * MiB, memorySwapLimitInBytes: 24n * MiB };
      const asked = config(line, { resources: { ...limits, unified } });
      const id = await startContainer(machine.node, pod, asked);
      const status = await untilExited(machine.node, id, 60_000);
      expect([status.exitCode, status.reason]).to.deep.equal([137, "OOMKilled"]);
      expect(logText(readCriLog(logPathOf(pod, asked)))).to.equal(`1\n${64n * MiB}\n`);
      await remove(id);
      const unknown = config("true", { resources: { unified: { "memory.nonesuch": "1" } } });
      const containerId = await createContainer(machine.node, pod, unknown);
      const start = machine.node.runtime.startContainer({ containerId });
      await expectError(start, "INTERNAL", /memory\.nonesuch/);
      await remove(containerId);
      expect(machine.editFiles()).to.deep.equal([]);
    });
  });

  describe("AppArmor @cgroup2 @systemd", () => {
    const admin: SecurityInit = { capabilities: { addCapabilities: ["SYS_ADMIN"] } };
    const look = "cat /proc/self/attr/current; mount -t tmpfs none /tmp 2>&1 && echo mounted";

    it("holds with Docker's profile, and not when it was declined", async () => {
      works(
        "SecurityProfile.profile_type=RuntimeDefault, AppArmor",
        "SecurityProfile.profile_type=Unconfined, AppArmor",
      );
      const confined = await run("exec sleep 1000", { securityContext: admin });
      expect(await shell(machine.node, confined, `${look} || true`)).to.match(
        /^docker-default \(enforce\)\n.*(denied|not permitted)/i,
      );
      await remove(confined);
      const apparmor = { profileType: Profile.Unconfined };
      const free = await run("exec sleep 1000", { securityContext: { ...admin, apparmor } });
      expect(await shell(machine.node, free, look)).to.equal("unconfined\nmounted");
      await remove(free);
    });

    it("holds with a profile of the node, and refuses one that is not loaded at create", async () => {
      works(
        "LinuxContainerSecurityContext.apparmor=Localhost",
        "SecurityProfile.localhost_ref=AppArmor",
      );
      loadProfile("dockline-lane", "file, signal, ptrace, capability, network, deny /forbidden w,");
      const localhost = (localhostRef: string): Limits => ({
        securityContext: { apparmor: { profileType: Profile.Localhost, localhostRef } },
      });
      const id = await run("exec sleep 1000", localhost("dockline-lane"));
      const line = "cat /proc/self/attr/current; echo x >/allowed && echo x >/forbidden || echo no";
      expect(await shell(machine.node, id, `(${line}) 2>&1`)).to.match(
        /^dockline-lane \(enforce\)\n.*denied\nno$/i,
      );
      await remove(id);
      const call = createContainer(
        machine.node,
        pod,
        config("true", localhost("dockline-nonesuch")),
      );
      const row = "SecurityProfile.localhost_ref=AppArmor, not loaded";
      refused(row, await expectError(call, "INVALID_ARGUMENT", /dockline-nonesuch is not loaded/));
    });
  });

  it("swap is given, limited and counted @cgroup2", async function () {
    if (readFileSync("/proc/swaps", "utf8").trim().split("\n").length < 2) this.skip();
    works("LinuxContainerResources.memory_swap_limit_in_bytes");
    const resources = { memoryLimitInBytes: 24n * MiB, memorySwapLimitInBytes: 88n * MiB };
    const line = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; echo ready; sleep 1000";
    const id = await run(line, { resources });
    expect(await machine.cgroupFile(id, "memory.swap.max")).to.equal(String(64n * MiB));
    const truth = async (): Promise<bigint> =>
      BigInt(await machine.cgroupFile(id, "memory.swap.current"));
    await until("swapped out", async () => (await truth()) >= 16n * MiB, 60_000);
    const { stats } = await machine.node.runtime.containerStats({ containerId: id });
    const swapped = Number(stats?.swap?.swapUsageBytes?.value);
    expect(swapped).to.be.closeTo(Number(await truth()), 1 << 20);
    seen("swap, bytes", swapped, await truth());
    await remove(id);
  });

  it("a RuntimeClass of crun runs its pods, also under dockline-oci @cgroup2", async () => {
    works("RunPodSandboxRequest.runtime_handler", "Mount.mount_options=with dockline-oci");
    const { node } = machine;
    const config = hostSandboxConfig(node);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config, runtimeHandler: "crun" });
    const crunPod = { podSandboxId, sandbox: config };
    const runtimeOf = async (id: string): Promise<string | undefined> =>
      (await node.docker.inspectContainer(id)).HostConfig.Runtime;
    expect(await runtimeOf(podSandboxId)).to.equal("crun");
    const plain = await startContainer(node, crunPod, containerConfig("exec sleep 1000"));
    expect(await runtimeOf(plain)).to.equal("crun");
    expect(await shell(node, plain, "echo inside")).to.equal("inside");
    const mounts = [
      { hostPath: machine.folder("v"), containerPath: "/v", mountOptions: ["noexec"] },
    ];
    const resources = { memoryLimitInBytes: 32n * MiB, unified: { "memory.oom.group": "1" } };
    const edited = await startContainer(
      node,
      crunPod,
      containerConfig("exec sleep 1000", {
        metadata: { name: "edited" },
        mounts,
        linux: { resources, securityContext: {} },
      }),
    );
    expect(await runtimeOf(edited)).to.equal("dockline-crun");
    expect(await shell(node, edited, "grep ' /v ' /proc/mounts")).to.contain("noexec");
    expect(await machine.cgroupFile(edited, "memory.oom.group")).to.equal("1");
    expect(await machine.cgroupFile(edited, "memory.max")).to.equal(String(32n * MiB));
    await removePod(node, crunPod);
  });

  it("a pod's figures are those of its slice @systemd", async () => {
    const { node } = machine;
    const { sandbox, cgroup } = machine.podOf("figures");
    const own = await runPod(node, sandbox);
    const hog = config("sleep 1000 & while :; do :; done", {
      resources: { cpuPeriod: 100_000n, cpuQuota: 20_000n },
    });
    const id = await startContainer(node, own, hog);
    const { podSandboxId } = own;
    const figures = async () =>
      (await node.runtime.podSandboxStats({ podSandboxId })).stats!.linux!;
    const usage = (): number =>
      Number(/^usage_usec (\d+)$/m.exec(readCgroup(cgroup, "cpu.stat"))?.[1]) * 1000;
    await figures();
    await wait(3_000);
    const before = usage();
    const { cpu, memory, process } = await figures();
    const after = usage();
    expect(Number(cpu!.usageCoreNanoSeconds!.value)).to.be.within(before, after);
    // The hog has a fifth of a core; what runc burnt at the start was before the first reading.
    expect(Number(cpu!.usageNanoCores!.value)).to.be.within(0.08e9, 0.23e9);
    expect(Number(memory!.usageBytes!.value)).to.be.closeTo(
      Number(readCgroup(cgroup, "memory.current")),
      1 << 20,
    );
    seen("the pod's CPU time, ns", cpu!.usageCoreNanoSeconds!.value, `${before} … ${after}`);
    seen("the pod's nano cores, of a fifth of a core", cpu!.usageNanoCores!.value, 200_000_000);
    // The shell, its child, and the pause program.
    expect(process!.processCount!.value).to.equal(3n);
    const { stats } = await node.runtime.containerStats({ containerId: id });
    expect(Number(stats?.cpu?.usageCoreNanoSeconds?.value)).to.be.greaterThan(0.2e9);
    await removePod(node, own);
  });

  it("a user namespace is refused with the reason, and not offered @cgroup2 @systemd", async () => {
    const { node } = machine;
    const { runtimeHandlers } = await node.runtime.status({});
    expect(runtimeHandlers.map(({ features }) => features?.userNamespaces)).to.not.include(true);
    const securityContext = { namespaceOptions: podNamespaces };
    const call = node.runtime.runPodSandbox({
      config: hostSandboxConfig(node, { linux: { securityContext } }),
    });
    const message = await expectError(call, "INVALID_ARGUMENT", /does not map the ids of mounts/);
    refused("NamespaceOption.userns_options", message);
  });
});
