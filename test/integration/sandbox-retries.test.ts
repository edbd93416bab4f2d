import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import { hostSandboxConfig, removePod, runPod, sandboxConfig } from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";

/** How long a sandbox that nobody asked for again lives on these nodes. */
const abandonedMs = 1500;

describe("a sandbox asked for again", () => {
  let plugins: FailpointNode;
  let node: TestNode;
  let start: NodeState;

  before(async () => {
    plugins = await startFailpointNode({
      environment: { DOCKLINE_ABANDONED_MS: String(abandonedMs) },
    });
    ({ node } = plugins);
    // The pause image is there from the first pod on.
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
    node.proxy.faults.clear();
    await expectNothingLeft(node, start);
  });

  const pauseContainers = async (): Promise<number> =>
    (await node.docker.listContainers(["io.kubernetes.docker.type=podsandbox"])).length;

  it("with the same configuration is the same one", async () => {
    const config = sandboxConfig(node);
    const first = await runPod(node, config);
    const again = await runPod(node, config);
    expect(again.podSandboxId).to.equal(first.podSandboxId);
    expect(await pauseContainers()).to.equal(1);
    await removePod(node, first);
  });

  it("with another configuration is refused while it runs, and recreated when it does not", async () => {
    const config = sandboxConfig(node);
    const pod = await runPod(node, config);
    const other = { ...config, hostname: "other" };
    const refused = await rpcFailure(node.runtime.runPodSandbox({ config: other }));
    expect(refused.code).to.equal("ALREADY_EXISTS");
    expect(refused.details).to.include(pod.podSandboxId);
    await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    const anew = await runPod(node, other);
    expect(anew.podSandboxId).to.not.equal(pod.podSandboxId);
    expect(await pauseContainers()).to.equal(1);
    await removePod(node, anew);
  });

  it("twenty times at once is one container with one address", async () => {
    const config = sandboxConfig(node);
    const pods = await Promise.all(Array.from({ length: 20 }, () => runPod(node, config)));
    expect(new Set(pods.map(({ podSandboxId }) => podSandboxId)).size).to.equal(1);
    expect(await pauseContainers()).to.equal(1);
    expect(nodeState(node).addresses).to.have.length(1);
    expect(plugins.verbs()).to.deep.equal(["ADD"]);
    await removePod(node, pods[0]!);
  });

  it("after its caller gave up during ADD is the one that was under way", async () => {
    plugins.failOn({ ADD: "1*delay(1500)" });
    const config = sandboxConfig(node);
    const given = await rpcFailure(node.runtime.runPodSandbox({ config }, { timeoutMs: 700 }));
    expect(given.code).to.equal("DEADLINE_EXCEEDED");
    const pod = await runPod(node, config);
    expect(plugins.verbs()).to.deep.equal(["ADD"]);
    // Handed over: nobody takes it away again.
    await new Promise((resolve) => setTimeout(resolve, abandonedMs + 500));
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    await removePod(node, pod);
  });

  it("by a caller that gives up too leaves the first caller's alone", async () => {
    plugins.failOn({ ADD: "1*delay(1000)" });
    const config = sandboxConfig(node);
    const first = runPod(node, config);
    const impatient = await rpcFailure(node.runtime.runPodSandbox({ config }, { timeoutMs: 500 }));
    expect(impatient.code).to.equal("DEADLINE_EXCEEDED");
    const pod = await first;
    await new Promise((resolve) => setTimeout(resolve, abandonedMs + 500));
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    await removePod(node, pod);
  });

  it("is removed when nobody asks again", async () => {
    plugins.failOn({ ADD: "1*delay(1000)" });
    const config = sandboxConfig(node);
    await rpcFailure(node.runtime.runPodSandbox({ config }, { timeoutMs: 500 }));
    await until(async () => (await pauseContainers()) === 1);
    await until(async () => (await pauseContainers()) === 0, abandonedMs + 8000);
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
  });

  it("stays when a container was made in it meanwhile", async () => {
    plugins.failOn({ ADD: "1*delay(1000)" });
    const config = sandboxConfig(node);
    await rpcFailure(node.runtime.runPodSandbox({ config }, { timeoutMs: 500 }));
    let podSandboxId = "";
    await until(async () => {
      const { items } = await node.runtime.listPodSandbox({});
      const ready = items.find(({ state }) => state === PodSandboxState.SANDBOX_READY);
      podSandboxId = ready?.id ?? "";
      return podSandboxId !== "";
    });
    await node.runtime.createContainer({
      podSandboxId,
      config: { metadata: { name: "main" }, image: { image: "dockline.test/busybox:1" } },
      sandboxConfig: config,
    });
    await new Promise((resolve) => setTimeout(resolve, abandonedMs + 500));
    expect((await node.runtime.listContainers({})).containers).to.have.length(1);
    await removePod(node, { podSandboxId });
  });

  for (const [method, route] of [
    ["POST", "/containers/create"],
    ["POST", "/containers/{id}/start"],
    ["GET", "/containers/{id}/json"],
    ["POST", "/containers/{id}/kill"],
    ["DELETE", "/containers/{id}"],
  ] as const) {
    for (const action of ["cutAfter", "cutBefore"] as const) {
      it(`lives and ends in spite of a lost ${method} ${route} (${action})`, async () => {
        const escaped = route.replaceAll(/[{}]/g, String.raw`\$&`);
        const fault = node.proxy.faults.add({
          match: { method, route: new RegExp(`^${escaped}$`) },
          action,
          times: 1,
        });
        const pod = await runPod(node);
        expect(await pauseContainers()).to.equal(1);
        const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
        expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
        await removePod(node, pod);
        expect(fault.hits).to.equal(1);
      });
    }
  }

  it("is made when the engine fails at first, and undone when it goes on failing", async () => {
    const config = sandboxConfig(node);
    node.proxy.faults.add({
      match: { method: "POST", route: /^\/containers\/\{id\}\/start$/ },
      action: "status",
      status: 500,
      body: '{"message":"no space left on device"}',
    });
    const failed = await rpcFailure(node.runtime.runPodSandbox({ config }));
    expect(failed.details).to.include("no space left on device");
    expect(await pauseContainers()).to.equal(0);
    node.proxy.faults.clear();
    await removePod(node, await runPod(node, config));
  });

  it("can be stopped while ADD runs, again and again, and nothing leaks", async () => {
    for (let round = 0; round < 6; round += 1) {
      plugins.failOn({ ADD: `1*delay(${round * 100})` });
      const config = sandboxConfig(node);
      const running = node.runtime.runPodSandbox({ config }).then(
        ({ podSandboxId }) => podSandboxId,
        () => "",
      );
      let podSandboxId = "";
      await until(async () => {
        podSandboxId = (await node.runtime.listPodSandbox({})).items[0]?.id ?? "";
        return podSandboxId !== "";
      });
      await node.runtime.stopPodSandbox({ podSandboxId });
      await running;
      await node.runtime.removePodSandbox({ podSandboxId });
      expect(nodeState(node).addresses, `round ${round}`).to.deep.equal([]);
    }
  });

  it("a stop does not wait for a plugin of minutes", async () => {
    plugins.failOn({ ADD: "1*delay(60000)" });
    const running = rpcFailure(node.runtime.runPodSandbox({ config: sandboxConfig(node) }));
    let podSandboxId = "";
    await until(async () => {
      podSandboxId = (await node.runtime.listPodSandbox({})).items[0]?.id ?? "";
      return plugins.verbs().includes("ADD");
    });
    const began = performance.now();
    await node.runtime.stopPodSandbox({ podSandboxId });
    expect(performance.now() - began).to.be.below(15_000);
    expect((await running).code).to.equal("CANCELLED");
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
  });

  it("stop and remove of the unknown, and twice, succeed", async () => {
    const unknown = "f".repeat(64);
    await node.runtime.stopPodSandbox({ podSandboxId: unknown });
    await node.runtime.removePodSandbox({ podSandboxId: unknown });
    const pod = await runPod(node);
    for (let times = 0; times < 2; times += 1) {
      await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    }
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(status?.network?.ip).to.equal("");
    for (let times = 0; times < 2; times += 1) {
      await node.runtime.removePodSandbox({ podSandboxId: pod.podSandboxId });
    }
    const gone = await rpcFailure(
      node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId }),
    );
    expect(gone.code).to.equal("NOT_FOUND");
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
  });

  it("five stops and removes at once succeed", async () => {
    const pod = await runPod(node);
    await Promise.all(Array.from({ length: 5 }, () => removePod(node, pod)));
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
  });
});
