import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { ContainerState, NamespaceMode, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { makeLegacyPod } from "../support/legacy-pods.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing, nodeState } from "../support/oracle.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
} from "../support/pods.ts";
import { busybox, ensureImage } from "../support/test-images.ts";
import { until } from "../support/until.ts";

const publishedPort = 45_100 + (process.pid % 1000);
const hostile = "dockline.test/hostile:1";

describe("pods that others made", () => {
  let node: TestNode;

  before(async () => {
    node = await startNode();
    await ensureImage(node.docker, hostile);
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  const listed = async (): Promise<string[]> =>
    (await node.runtime.listPodSandbox({})).items.map(({ id }) => id);

  for (const line of ["binds", "mounts"] as const) {
    it(`by cri-dockerd (${line}) are listed, reported, stopped and removed`, async () => {
      const pod = await makeLegacyPod(node, line);
      const source = (await node.docker.inspectContainer(pod.containerId)).LogPath;
      symlinkSync(source, pod.logLink);
      await node.kill();
      await node.start();
      const [item] = (await node.runtime.listPodSandbox({})).items;
      expect(item).to.deep.include({ id: pod.sandboxId, state: PodSandboxState.SANDBOX_READY });
      expect(item?.metadata).to.include({ name: pod.name, namespace: "test", attempt: 0 });
      expect(item?.labels).to.have.all.keys(
        "io.kubernetes.pod.name",
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.uid",
      );
      expect(item?.annotations).to.deep.equal({ "kubernetes.io/config.source": "file" });
      const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.sandboxId });
      expect(status?.network?.ip).to.equal(pod.ip).and.match(/^10\./);
      expect(status?.linux?.namespaces?.options?.network).to.equal(NamespaceMode.POD);
      const container = (await node.runtime.containerStatus({ containerId: pod.containerId }))
        .status;
      expect(container?.state).to.equal(ContainerState.CONTAINER_RUNNING);
      expect(container?.annotations["io.kubernetes.container.hash"]).to.equal("abcd1234");
      expect(container?.logPath).to.equal(pod.logLink);
      expect(container?.mounts).to.have.length(1);
      expect(container?.mounts[0]).to.include({ containerPath: "/data", readonly: true });
      expect(await shell(node, pod.containerId, "hostname")).to.equal(pod.name);
      expect(readFileSync(pod.logLink, "utf8"), "the log's link stays").to.include("legacy");

      await node.runtime.stopPodSandbox({ podSandboxId: pod.sandboxId });
      expect(nodeState(node).addresses).to.deep.equal([]);
      expect(readdirSync(join(node.folder, "cni-cache", "results"))).to.deep.equal([]);
      const after = (await node.runtime.podSandboxStatus({ podSandboxId: pod.sandboxId })).status;
      expect(after?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      await node.runtime.removePodSandbox({ podSandboxId: pod.sandboxId });
      expect(await listed()).to.deep.equal([]);
      rmSync(pod.logLink, { force: true });
    });
  }

  it("without a CNI cache show the address that they have, and give it back", async () => {
    const pod = await makeLegacyPod(node, "mounts", { withoutCache: true });
    await until(async () => (await listed()).length === 1);
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.sandboxId });
    expect(status?.network?.ip).to.equal(pod.ip);
    await removePod(node, { podSandboxId: pod.sandboxId });
  });

  it("on the host's network are reported so, without an address", async () => {
    const pod = await makeLegacyPod(node, "binds", { hostNetwork: true });
    await until(async () => (await listed()).length === 1);
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.sandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(status?.network?.ip).to.equal("");
    expect(status?.linux?.namespaces?.options?.network).to.equal(NamespaceMode.NODE);
    await removePod(node, { podSandboxId: pod.sandboxId });
  });

  it("of a hostile image do not have the image's labels", async () => {
    const pod = await makeLegacyPod(node, "mounts", { image: hostile });
    await until(async () => (await listed()).length === 1);
    await until(async () => (await node.runtime.listContainers({})).containers.length === 1);
    const { status } = await node.runtime.containerStatus({ containerId: pod.containerId });
    const sandbox = (await node.runtime.podSandboxStatus({ podSandboxId: pod.sandboxId })).status;
    for (const seen of [status, sandbox]) {
      const text = JSON.stringify([seen?.labels, seen?.annotations]);
      // Quoted: a pod's uid may well hold the number.
      for (const word of ["evil", "preStopHandler", '"99"', "io.dockline"]) {
        expect(text).to.not.include(word);
      }
    }
    await removePod(node, { podSandboxId: pod.sandboxId });
  });

  it("ours of a hostile image have the request's labels and no others", async () => {
    const pod = await runPod(node);
    const id = await startContainer(node, pod, {
      ...containerConfig("sleep 1000"),
      image: { image: hostile },
    });
    const { status } = await node.runtime.containerStatus({ containerId: id });
    expect(status?.labels).to.deep.equal({ "io.kubernetes.container.name": "main" });
    expect(status?.annotations).to.deep.equal({ "io.kubernetes.container.hash": "abcd1234" });
    await removePod(node, pod);
  });

  it("look-alikes are neither listed nor touched", async () => {
    const others: [string, Record<string, string>, string][] = [
      // A plain container with all of a pod's labels; ours copied onto another name; the hostile image.
      [
        "look-alike-1",
        { "io.kubernetes.docker.type": "podsandbox", "io.kubernetes.pod.name": "x" },
        busybox,
      ],
      [
        "look-alike-2",
        {
          "annotation.io.dockline/cri":
            '{"v":1,"name":"k8s_POD_a_b_c_0","kind":"podsandbox","labels":{},"annotations":{}}',
          "io.kubernetes.docker.type": "podsandbox",
        },
        busybox,
      ],
      ["look-alike-3", {}, hostile],
      ["k8s_POD_a_b_c_0", {}, busybox],
      ["k8s_main_a_b_c", { "io.kubernetes.docker.type": "container" }, busybox],
      ["k8s_main_a_b_c_d", { "io.kubernetes.docker.type": "container" }, busybox],
    ];
    const ids: string[] = [];
    for (const [name, Labels, Image] of others) {
      const HostConfig = { NetworkMode: "none" };
      const body = { Image, Labels, Cmd: ["sleep", "1000"], HostConfig };
      const { id } = await node.docker.createContainer(name, body);
      await node.docker.startContainer(id);
      ids.push(id);
    }
    const pod = await runPod(node);
    expect(await listed()).to.deep.equal([pod.podSandboxId]);
    expect((await node.runtime.listContainers({})).containers).to.deep.equal([]);
    for (const id of ids) {
      await node.runtime.stopPodSandbox({ podSandboxId: id });
      await node.runtime.removePodSandbox({ podSandboxId: id });
      await node.runtime.stopContainer({ containerId: id, timeout: 0n });
      await node.runtime.removeContainer({ containerId: id });
    }
    await removePod(node, pod);
    for (const id of ids) {
      expect((await node.docker.inspectContainer(id)).State.Running).to.equal(true);
      await node.docker.removeContainer(id);
    }
  });

  it("a running stranger that has a pod's name is left alone, a dead one too", async () => {
    const config = hostSandboxConfig(node);
    const { name = "", namespace = "", uid = "" } = config.metadata ?? {};
    const taken = `k8s_POD_${name}_${namespace}_${uid}_0`;
    const HostConfig = { NetworkMode: "none" };
    const body = { Image: busybox, Labels: {}, Cmd: ["sleep", "1000"], HostConfig };
    const { id } = await node.docker.createContainer(taken, body);
    await node.docker.startContainer(id);
    const failed = await node.runtime.runPodSandbox({ config }).then(
      () => "",
      (error: unknown) => (error as { details: string }).details,
    );
    expect(failed).to.include(taken).and.include("not a pod's");
    expect((await node.docker.inspectContainer(id)).State.Running).to.equal(true);
    await node.docker.killContainer(id, "KILL");
    const pod = await runPod(node, config);
    expect((await runPod(node, config)).podSandboxId).to.equal(pod.podSandboxId);
    expect((await node.docker.inspectContainer(id)).State.Running).to.equal(false);
    await removePod(node, pod);
    await node.docker.removeContainer(id);
  });

  it("ours live on when the state folder is lost: READY with their address, and removable", async () => {
    const config = sandboxConfig(node, {
      portMappings: [{ hostPort: publishedPort, containerPort: 80, hostIp: "127.0.0.1" }],
    });
    const pod = await runPod(node, config);
    const { podSandboxId } = pod;
    const id = await startContainer(node, pod, containerConfig("sleep 1000"));
    const before = (await node.runtime.podSandboxStatus({ podSandboxId })).status;
    await node.terminate();
    rmSync(node.stateDir, { recursive: true });
    await node.start();
    const after = (await node.runtime.podSandboxStatus({ podSandboxId })).status;
    expect(after).to.deep.equal(before);
    expect((await runPod(node, config)).podSandboxId, "asked again").to.equal(podSandboxId);
    expect((await node.runtime.containerStatus({ containerId: id })).status?.state).to.equal(
      ContainerState.CONTAINER_RUNNING,
    );
    expect(portRules(publishedPort)).to.not.equal("");
    await removePod(node, pod);
    expect(portRules(publishedPort)).to.equal("");
    expect(existsSync(node.stateDir)).to.equal(true);
  });
});

/** What of a published port is left in the host's tables. */
function portRules(port: number): string {
  const { stdout } = spawnSync("iptables-save", ["-t", "nat"], { encoding: "utf8" });
  return stdout
    .split("\n")
    .filter((line) => line.includes(String(port)))
    .join("\n");
}
