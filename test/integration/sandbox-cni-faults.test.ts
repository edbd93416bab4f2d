import { execFileSync } from "node:child_process";
import { basename } from "node:path";
import { expect } from "chai";
import { rmSync } from "node:fs";
import { NamespaceMode, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { withLaneRuntime } from "../support/lane-runtime.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";

describe("a sandbox whose network fails", () => {
  let plugins: FailpointNode;
  let node: TestNode;
  let start: NodeState;

  before(async () => {
    plugins = await startFailpointNode();
    ({ node } = plugins);
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await plugins.close();
  });
  beforeEach(() => {
    plugins.failOn({});
    start = nodeState(node);
  });
  afterEach(async () => {
    await expectNothingLeft(node, start);
  });

  const networkReady = async () => {
    const { status } = await node.runtime.status({});
    const found = status?.conditions.find(({ type }) => type === "NetworkReady");
    return { status: found?.status, reason: found?.reason, message: found?.message };
  };
  const stateOf = async (podSandboxId: string): Promise<PodSandboxState | undefined> =>
    (await node.runtime.podSandboxStatus({ podSandboxId })).status?.state;

  it("without a configuration: the node says which folder to fill, host pods run, and it heals", async () => {
    plugins.removeConfig();
    const condition = await networkReady();
    expect(condition).to.include({ status: false, reason: "NetworkPluginNotReady" });
    expect(condition.message).to.include(node.cniConfDir);
    const refused = await rpcFailure(node.runtime.runPodSandbox({ config: sandboxConfig(node) }));
    expect(refused.code).to.equal("UNAVAILABLE");
    expect(refused.details).to.include(node.cniConfDir);
    const host = await runPod(node, hostSandboxConfig(node));
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: host.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(status?.network?.ip).to.equal("");
    expect(status?.linux?.namespaces?.options?.network).to.equal(NamespaceMode.NODE);
    plugins.writeConfig();
    await until(async () => (await networkReady()).status === true);
    await removePod(node, await runPod(node));
    await removePod(node, host);
  });

  for (const [how, words] of [
    ["1*error(no address left)", "no address left"],
    ["1*late-error(changed my mind)", "changed my mind"],
    ["1*panic(boom)", "boom"],
    ["1*garbage", "not JSON"],
    ["1*empty", "printed nothing"],
    ["1*huge", ""],
  ] as const) {
    it(`with ADD: ${how} fails with the plugin's words and leaves nothing`, async () => {
      plugins.failOn({ ADD: how });
      const config = sandboxConfig(node);
      const failed = await rpcFailure(node.runtime.runPodSandbox({ config }));
      expect(failed.details).to.include(words).and.include("failpoint");
      expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
      expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
      await expectNothingLeft(node, start);
      await removePod(node, await runPod(node, config));
    });
  }

  it("for a moment only is tried again: RunPodSandbox and StopPodSandbox succeed", async () => {
    plugins.failOn({ ADD: "1*try-again(pool is locked)" });
    const pod = await runPod(node);
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL", "ADD"]);
    plugins.failOn({ DEL: "1*try-again(pool is locked)" });
    await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    expect(plugins.verbs()).to.deep.equal(["DEL", "DEL"]);
    await removePod(node, pod);
  });

  it("with ADD and then DEL failing stays listed NOTREADY until DEL works", async () => {
    plugins.failOn({ ADD: "1*late-error(half done)", DEL: "3*error(not now)" });
    const failed = await rpcFailure(node.runtime.runPodSandbox({ config: sandboxConfig(node) }));
    expect(failed.details).to.include("half done");
    const { items } = await node.runtime.listPodSandbox({});
    expect(items.map(({ state }) => state)).to.deep.equal([PodSandboxState.SANDBOX_NOTREADY]);
    const podSandboxId = items[0]!.id;
    expect(nodeState(node).addresses).to.have.length(1);
    const refused = await rpcFailure(node.runtime.stopPodSandbox({ podSandboxId }));
    expect(refused.details).to.include("not now");
    await removePod(node, { podSandboxId });
  });

  it("a DEL that fails while the namespace is there does not hold the pod forever", async () => {
    const pod = await runPod(node);
    plugins.failOn({ DEL: "2*error(chain does not exist)" });
    for (let times = 0; times < 2; times += 1) {
      await rpcFailure(node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId }));
    }
    await removePod(node, pod);
    const namespaces = plugins.calls().map(({ netns }) => netns !== "");
    expect(namespaces).to.deep.equal([true, true, false]);
  });

  it("what bridge fails to undo at first is undone with the next attempt", async () => {
    await removePod(node, await runPod(node));
    const { plugins: list, ...rest } = plugins.config();
    const [first, ...others] = list as [{ delegate: { ipam: object } }];
    // The bridge has another address already: ADD fails after the allocation, DEL on a missing chain.
    const ipam = { ...first.delegate.ipam, ranges: [[{ subnet: "10.219.78.0/24" }]] };
    const changed = { ...first, delegate: { ...first.delegate, ipam } };
    plugins.writeConfig({ ...rest, plugins: [changed, ...others] });
    await rpcFailure(node.runtime.runPodSandbox({ config: sandboxConfig(node) }));
    plugins.writeConfig();
    expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
  });

  for (const signal of ["none", "SIGKILL"]) {
    it(`DEL fails twice: stop can be repeated, the record stays (restart: ${signal})`, async () => {
      const pod = await runPod(node);
      const { podSandboxId } = pod;
      await startContainer(node, pod, containerConfig("sleep 1000"));
      plugins.failOn({ DEL: "2*error(not now)" });
      await rpcFailure(node.runtime.stopPodSandbox({ podSandboxId }));
      expect(await stateOf(podSandboxId)).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      if (signal !== "none") {
        await node.kill();
        await node.start();
        expect(await stateOf(podSandboxId)).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      }
      // Removal owes the DEL as well.
      await rpcFailure(node.runtime.removePodSandbox({ podSandboxId }));
      expect((await node.runtime.listPodSandbox({})).items.map(({ id }) => id)).to.deep.equal([
        podSandboxId,
      ]);
      await removePod(node, pod);
      const [first] = plugins.calls();
      expect(plugins.verbs()).to.deep.equal(["DEL", "DEL", "DEL"]);
      expect(first?.config).to.have.nested.property("prevResult.ips");
    });
  }

  it("a configuration that is deleted or replaced after ADD: stop frees the address", async () => {
    const pod = await runPod(node);
    plugins.removeConfig();
    await removePod(node, pod);
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
    plugins.writeConfig();
  });

  it("a configuration that is deleted after ADD, and Dockline killed: remove frees the address", async () => {
    const pod = await runPod(node);
    plugins.removeConfig();
    await node.kill();
    await node.start();
    await removePod(node, pod);
    plugins.writeConfig();
  });

  it("pause killed behind our back: NOTREADY at once, stop and remove free the address", async () => {
    const pod = await runPod(node);
    await node.docker.killContainer(pod.podSandboxId, "KILL");
    await until(
      async () => (await stateOf(pod.podSandboxId)) === PodSandboxState.SANDBOX_NOTREADY,
      1500,
    );
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.network?.ip).to.equal("");
    await removePod(node, pod);
  });

  for (const restart of [false, true]) {
    it(`pause removed behind our back: listed NOTREADY until removed (restart: ${restart})`, async () => {
      const pod = await runPod(node, sandboxConfig(node, { labels: { app: "lost" } }));
      const { podSandboxId } = pod;
      await startContainer(node, pod, containerConfig("sleep 1000"));
      await node.docker.removeContainer(podSandboxId);
      if (restart) {
        await node.kill();
        await node.start();
      }
      await until(async () => {
        const { items } = await node.runtime.listPodSandbox({ filter: { id: podSandboxId } });
        return items[0]?.state === PodSandboxState.SANDBOX_NOTREADY;
      }, 3000);
      const { items } = await node.runtime.listPodSandbox({
        filter: { labelSelector: { app: "lost" } },
      });
      expect(items[0]).to.deep.include({ id: podSandboxId, labels: { app: "lost" } });
      expect(items[0]?.metadata?.name).to.equal(pod.sandbox.metadata?.name);
      const ready = { state: { state: PodSandboxState.SANDBOX_READY } };
      expect((await node.runtime.listPodSandbox({ filter: ready })).items).to.deep.equal([]);
      const prefix = podSandboxId.slice(0, 12);
      expect(await stateOf(prefix)).to.equal(PodSandboxState.SANDBOX_NOTREADY);
      expect(nodeState(node).addresses).to.have.length(1);
      await node.runtime.stopPodSandbox({ podSandboxId });
      expect(nodeState(node).addresses).to.deep.equal([]);
      // The pod's own namespace outlives its pause container, Docker's does not.
      const own = /^\/var\/run\/netns\/dockline-/;
      expect(plugins.calls().at(-1)?.netns).to.match(withLaneRuntime ? own : /^$/);
      await node.runtime.removePodSandbox({ podSandboxId });
      expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
    });
  }

  it("after a reboot: all NOTREADY, DEL without a namespace, the host's own links stay", async () => {
    const pod = await runPod(node);
    await node.kill();
    // What a reboot leaves: pause stopped, its namespace gone, the record there, /run empty.
    await node.docker.killContainer(pod.podSandboxId, "KILL");
    rmSync(`${node.folder}/run`, { recursive: true, force: true });
    const { netns = "" } = plugins.calls()[0] ?? {};
    if (withLaneRuntime) execFileSync("ip", ["netns", "del", basename(netns)]);
    await node.start();
    expect(await stateOf(pod.podSandboxId)).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    await removePod(node, pod);
    expect(plugins.calls().at(-1)).to.include({ verb: "DEL", netns: "" });
  });

  it("a hanging ADD holds up no other pod", async () => {
    plugins.failOn({ ADD: "1*delay(10000)" });
    let over = false;
    const slow = runPod(node).finally(() => (over = true));
    await until(() => plugins.verbs().includes("ADD"));
    await removePod(node, await runPod(node));
    expect(over).to.equal(false);
    await removePod(node, await slow);
  });
});
