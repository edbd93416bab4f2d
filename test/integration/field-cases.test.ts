import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { withLaneRuntime } from "../support/lane-runtime.ts";
import {
  NamespaceMode,
  SupplementalGroupsPolicy as Policy,
} from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, inspect, withContainer } from "../support/containers.ts";
import { notHere, works } from "../support/fields.ts";
import type { TestNode } from "../support/node.ts";
import {
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { fieldTools, sharedPod } from "../support/shared-pod.ts";

// Fields that depend on the node, and those that a node without dockline-oci refuses.

const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };
const unifiedHierarchy = existsSync("/sys/fs/cgroup/cgroup.controllers");

describe("fields that not every node has", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;

  before(() => {
    ({ node, pod } = shared);
  });
  const { config, secured, sandboxWith, create, refuse, runSandbox, pidOf } = fieldTools(shared);

  it("are Windows's: ignored, as other runtimes ignore them", async () => {
    const rows = ["PodSandboxConfig", "ContainerConfig", "UpdateContainerResourcesRequest"];
    notHere(
      undefined,
      rows.map((message) => `${message}.windows`),
      "nothing on a Linux node has a use for it; ignored",
    );
    const windows = {};
    const { podSandboxId } = await runPod(node, hostSandboxConfig(node, { windows }));
    await node.runtime.removePodSandbox({ podSandboxId });
    const containerId = await create({ windows });
    await node.runtime.updateContainerResources({ containerId, windows, linux: {} });
    await node.runtime.removeContainer({ containerId });
  });

  it("are annotations of an update: ignored, as other runtimes ignore them", async () => {
    const row = "UpdateContainerResourcesRequest.annotations";
    notHere(undefined, [row], "no annotation means anything to an update; ignored");
    await withContainer(node, pod, config({}), async (containerId) => {
      const linux = { cpuShares: 333n };
      const annotations = { "example.com/x": "1" };
      await node.runtime.updateContainerResources({ containerId, annotations, linux });
      expect((await inspect(node, containerId)).HostConfig.CpuShares).to.equal(333);
      // Nothing but annotations: nothing to do, for containerd too.
      await node.runtime.updateContainerResources({ containerId, annotations, linux: {} });
    });
  });

  it("need dockline-oci: refused without it", async function () {
    if (withLaneRuntime) this.skip();
    const mount = { hostPath: node.folder, containerPath: "/v" };
    const ids = [{ containerId: 0, hostId: 131072, length: 65536 }];
    const mounted = (more: object): Promise<string> => create({ mounts: [{ ...mount, ...more }] });
    await refuse(
      "Mount.mount_options=without dockline-oci",
      mounted({ mountOptions: ["noexec"] }),
      /mount_options/,
    );
    await refuse("Mount.uidMappings=without dockline-oci", mounted({ uidMappings: ids }), /uidMap/);
    await refuse("Mount.gidMappings=without dockline-oci", mounted({ gidMappings: ids }), /gidMap/);
    await refuse(
      "Capability.add_ambient_capabilities=without dockline-oci",
      create(secured({ capabilities: { addAmbientCapabilities: ["NET_ADMIN"] } })),
      /ambient/,
    );
    const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
    const userns = sandboxWith({
      namespaceOptions: { pid: NamespaceMode.CONTAINER, usernsOptions },
    });
    await refuse(
      "NamespaceOption.userns_options=without dockline-oci",
      runSandbox(userns),
      /userns_options/,
    );
  });

  it("are the namespace of another container: shared when it is of the same pod", async () => {
    const target = await startContainer(node, pod, config({}));
    const joined = (targetId: string): ContainerInit =>
      secured({ namespaceOptions: { ...namespaceOptions, pid: NamespaceMode.TARGET, targetId } });
    await withContainer(node, pod, config(joined(target)), async (id) => {
      works("NamespaceOption.pid=TARGET", "NamespaceOption.target_id");
      const [mine, its] = await Promise.all([pidOf(id), pidOf(target)]);
      expect(readlinkSync(`/proc/${mine}/ns/pid`)).to.equal(readlinkSync(`/proc/${its}/ns/pid`));
      expect(await shell(node, id, "tr '\\0' ' ' </proc/1/cmdline")).to.include("sleep 1000");
    });
    await expectError(create(joined(pod.podSandboxId)), "INVALID_ARGUMENT", /target_id/);
    await node.runtime.removeContainer({ containerId: target });
  });

  it("are modes of network and IPC that mean the pod, whatever they are", async () => {
    works("NamespaceOption.network=CONTAINER", "NamespaceOption.ipc=CONTAINER");
    const odd = [
      { network: NamespaceMode.CONTAINER, ipc: NamespaceMode.CONTAINER },
      { network: NamespaceMode.TARGET, ipc: NamespaceMode.TARGET },
      { ipc: NamespaceMode.NODE },
    ];
    const namespaces = (pid: number): string[] =>
      ["net", "ipc"].map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`));
    for (const modes of odd) {
      const own = secured({ namespaceOptions: { ...namespaceOptions, ...modes } });
      await withContainer(node, pod, config(own), async (id) => {
        const [mine, pods] = await Promise.all([pidOf(id), pidOf(pod.podSandboxId)]);
        expect(namespaces(mine)).to.deep.equal(namespaces(pods));
      });
    }
  });

  it("are privileges of a container and of its pod", async () => {
    works(
      "LinuxSandboxSecurityContext.privileged",
      "LinuxContainerSecurityContext.privileged",
      "LinuxContainerSecurityContext.no_new_privs",
    );
    await expectError(create(secured({ privileged: true })), "INVALID_ARGUMENT", /privileged/);
    const quiet = secured({ noNewPrivs: true });
    await withContainer(node, pod, config(quiet), async (id) => {
      const line = "awk '/NoNewPrivs/{print $2}' /proc/1/status";
      expect(await shell(node, id, line)).to.equal("1");
    });
    const strong = await runPod(node, sandboxWith({ privileged: true }));
    const containerId = await createContainer(node, strong, config(secured({ privileged: true })));
    expect((await inspect(node, containerId)).HostConfig.Privileged).to.equal(true);
    expect((await inspect(node, strong.podSandboxId)).HostConfig.Privileged).to.equal(true);
    await removePod(node, strong);
  });

  it("are a sandbox's policy for groups and its old seccomp path", async () => {
    works(
      "LinuxSandboxSecurityContext.supplemental_groups_policy",
      "LinuxSandboxSecurityContext.seccomp_profile_path",
    );
    const profile = join(node.folder, "seccomp.json");
    writeFileSync(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW" }));
    const own = await runPod(
      node,
      sandboxWith({
        runAsUser: { value: 1000n },
        runAsGroup: { value: 1000n },
        supplementalGroups: [77n],
        supplementalGroupsPolicy: Policy.Strict,
        seccompProfilePath: `localhost/${profile}`,
      }),
    );
    const pid = await pidOf(own.podSandboxId);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(/^Groups:\s*(.*?)\s*$/m.exec(status)?.[1]?.split(" ").sort()).to.deep.equal(
      ["1000", "77"].filter((group) => status.includes(group)),
    );
    expect(status)
      .to.match(/^Groups:.*\b77\b/m)
      .and.match(/^Seccomp:\s*2$/m);
    await removePod(node, own);
  });

  it("are resources of cgroup v1 or of cgroup v2", async () => {
    works("LinuxContainerResources.cpuset_mems");
    await withContainer(
      node,
      pod,
      config({ linux: { resources: { cpusetMems: "0" }, securityContext: {} } }),
      async (id) => {
        const seen = await shell(node, id, "awk '/Mems_allowed_list/{print $2}' /proc/1/status");
        // Kernels without memory nodes do not say.
        expect(seen).to.be.oneOf(["0", ""]);
        expect((await inspect(node, id)).HostConfig.CpusetMems).to.equal("0");
      },
    );
    const swap = { memoryLimitInBytes: 64n << 20n, memorySwapLimitInBytes: 96n << 20n };
    await withContainer(node, pod, config({ linux: { resources: swap } }), async (containerId) => {
      const { HostConfig } = await inspect(node, containerId);
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.resources?.linux).to.include(swap);
      // Docker's word for a kernel without swap accounting.
      if (HostConfig.MemorySwap === -1) {
        const why =
          "the kernel has no swap accounting: Docker drops the limit and says so in its log";
        notHere(undefined, ["LinuxContainerResources.memory_swap_limit_in_bytes"], why);
      } else {
        works("LinuxContainerResources.memory_swap_limit_in_bytes");
        expect(HostConfig.MemorySwap).to.equal(96 << 20);
      }
    });
    const unified = { linux: { resources: { unified: { "memory.oom.group": "1" } } } };
    if (unifiedHierarchy) {
      works("LinuxContainerResources.unified=without dockline-oci");
      await withContainer(node, pod, config(unified), async (id) => {
        expect(await shell(node, id, "cat /sys/fs/cgroup/memory.oom.group")).to.equal("1");
      });
    } else {
      await refuse("LinuxContainerResources.unified", create(unified), /cgroup v1/);
    }
  });

  it("are the pod's resources and overhead, which the kubelet's own cgroup holds", async () => {
    works("LinuxPodSandboxConfig.overhead", "LinuxPodSandboxConfig.resources");
    const linux = {
      securityContext: { namespaceOptions },
      overhead: { cpuShares: 7n },
      resources: { cpuShares: 100n, memoryLimitInBytes: 256n << 20n },
    };
    const own = await runPod(node, hostSandboxConfig(node, { linux }));
    const { podSandboxId } = own;
    const { info } = await node.runtime.podSandboxStatus({ podSandboxId, verbose: true });
    const shown = JSON.parse(info["info"] ?? "{}") as Record<string, unknown>;
    expect(shown["overhead"]).to.deep.equal({ cpuShares: "7" });
    expect(shown["resources"]).to.deep.equal({ cpuShares: "100", memoryLimitInBytes: "268435456" });
    await node.runtime.updatePodSandboxResources({
      podSandboxId,
      resources: { cpuShares: 200n },
    });
    const after = await node.runtime.podSandboxStatus({ podSandboxId, verbose: true });
    expect((JSON.parse(after.info["info"] ?? "{}") as typeof shown)["resources"]).to.deep.equal({
      cpuShares: "200",
    });
    await removePod(node, own);
  });

  it("are what the image was called, kept for the status", async () => {
    works("ImageSpec.user_specified_image", "ImageSpec.annotations", "ImageSpec.runtime_handler");
    const image = {
      image: "dockline.test/busybox:1",
      userSpecifiedImage: "busybox:latest",
      annotations: { "example.com/a": "1" },
      runtimeHandler: "runc",
    };
    await withContainer(node, pod, config({ image }), async (containerId) => {
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.image?.userSpecifiedImage).to.equal("busybox:latest");
      expect(status?.image?.annotations).to.deep.equal(image.annotations);
      expect(status?.image?.runtimeHandler).to.equal("runc");
    });
  });
});
