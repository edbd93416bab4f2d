import { readdirSync } from "node:fs";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { failpointFile } from "../support/failpoint-file.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { snapshotOf } from "../support/snapshot.ts";
import { until } from "../support/until.ts";

/** Places between every two effects of an RPC (src/sys/failpoint.ts). */
const places = {
  run: [
    "run.after-record",
    "run.after-create",
    "run.after-id",
    "run.after-edits",
    "run.after-start",
    "run.after-resolv-conf",
    "run.before-add",
    "run.after-add",
    "run.after-ready",
  ],
  stop: [
    "stop.after-record",
    "stop.after-members",
    "stop.after-del",
    "stop.after-release",
    "stop.after-kill",
  ],
  remove: ["remove.after-stop", "remove.after-members", "remove.after-pause"],
};

describe("kill -9", () => {
  const failpoint = failpointFile();
  const { environment } = failpoint;
  let plugins: FailpointNode;
  let node: TestNode;
  let start: NodeState;

  before(async () => {
    plugins = await startFailpointNode({ environment });
    ({ node } = plugins);
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await plugins.close();
    failpoint.remove();
  });
  beforeEach(() => {
    plugins.failOn({});
    start = nodeState(node);
  });
  afterEach(async () => {
    await expectNothingLeft(node, start);
  });

  /** Runs `work` with the place armed, which must be reached, and brings Dockline up again. */
  const killedAt = async (place: string, work: () => Promise<unknown>): Promise<void> => {
    failpoint.arm(place);
    const failed = work().then(
      () => false,
      () => true,
    );
    await node.ended();
    expect(await failed, "the call ends with the process").to.equal(true);
    failpoint.arm("");
    await node.start(environment);
  };

  const withDns = () => sandboxConfig(node, { dnsConfig: { servers: ["10.96.0.10"] } });

  for (const place of places.run) {
    it(`at ${place}: what is there is listed and can be removed; a retry works`, async () => {
      await killedAt(place, () => runPod(node, withDns()));
      const expected =
        place === "run.after-ready"
          ? PodSandboxState.SANDBOX_READY
          : PodSandboxState.SANDBOX_NOTREADY;
      const { items } = await node.runtime.listPodSandbox({});
      expect(items.map(({ state }) => state)).to.deep.equal(
        place === "run.after-record" ? [] : [expected],
      );
      for (const { id } of items) await removePod(node, { podSandboxId: id });
      await expectNothingLeft(node, start);

      const config = withDns();
      await killedAt(place, () => runPod(node, config));
      const pod = await runPod(node, config);
      const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
      expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
      expect((await node.runtime.listPodSandbox({})).items).to.have.length(1);
      expect(nodeState(node).addresses).to.have.length(1);
      await removePod(node, pod);
    });
  }

  const podWithContainer = async (): Promise<RunningPod> => {
    const pod = await runPod(node);
    await startContainer(node, pod, containerConfig("sleep 1000"));
    return pod;
  };

  for (const place of places.stop) {
    it(`at ${place}: stop and remove finish the work`, async () => {
      const pod = await podWithContainer();
      const { podSandboxId } = pod;
      await killedAt(place, () => node.runtime.stopPodSandbox({ podSandboxId }));
      const { items } = await node.runtime.listPodSandbox({});
      expect(items.map(({ id, state }) => ({ id, state }))).to.deep.equal([
        { id: podSandboxId, state: PodSandboxState.SANDBOX_NOTREADY },
      ]);
      await removePod(node, pod);
    });
  }

  for (const place of places.remove) {
    it(`at ${place}: remove finishes the work`, async () => {
      const pod = await podWithContainer();
      const { podSandboxId } = pod;
      await killedAt(place, () => node.runtime.removePodSandbox({ podSandboxId }));
      const { items } = await node.runtime.listPodSandbox({});
      expect(items.map(({ state }) => state)).to.deep.equal([PodSandboxState.SANDBOX_NOTREADY]);
      await node.runtime.removePodSandbox({ podSandboxId });
    });
  }

  for (const place of [...places.run, ...places.stop, ...places.remove]) {
    it(`at ${place}, and no further call: what is left is whole, or holds nothing`, async () => {
      const isRun = place.startsWith("run");
      const pod = isRun ? undefined : await podWithContainer();
      const podSandboxId = pod?.podSandboxId ?? "";
      await killedAt(place, () => {
        if (isRun) return runPod(node, withDns());
        if (place.startsWith("stop")) return node.runtime.stopPodSandbox({ podSandboxId });
        return node.runtime.removePodSandbox({ podSandboxId });
      });
      // Only a pod whose making was over is kept: its caller may have heard so.
      const isWhole = place === "run.after-ready";
      await until(() => nodeState(node).addresses.length === (isWhole ? 1 : 0), 30_000);
      await until(async () => {
        const containers = await node.docker.listContainers(["io.kubernetes.docker.type"]);
        const running = containers.filter(({ State }) => State === "running");
        return running.length === (isWhole ? 1 : 0);
      }, 30_000);
      const { items } = await node.runtime.listPodSandbox({});
      const { SANDBOX_NOTREADY, SANDBOX_READY } = PodSandboxState;
      expect(items.map(({ state }) => state)).to.deep.equal(
        place === "run.after-record" ? [] : [isWhole ? SANDBOX_READY : SANDBOX_NOTREADY],
      );
      for (const { id } of items) await removePod(node, { podSandboxId: id });
      // A DEL whose end nobody could note is made again.
      const dels = place === "stop.after-del" ? 2 : 1;
      const verbs = plugins.verbs();
      expect(verbs.filter((verb) => verb === "DEL").length, verbs.join()).to.be.at.most(dels);
    });
  }

  it("while a plugin runs ADD: the plugin is ended before DEL, nothing comes back later", async () => {
    plugins.failOn({ ADD: "1*delay(1500)" });
    const lost = runPod(node).catch(() => undefined);
    await until(() => plugins.verbs().includes("ADD"));
    await node.kill();
    await lost;
    await node.start(environment);
    const { items } = await node.runtime.listPodSandbox({});
    expect(items.map(({ state }) => state)).to.deep.equal([PodSandboxState.SANDBOX_NOTREADY]);
    await removePod(node, { podSandboxId: items[0]!.id });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(nodeState(node).addresses).to.deep.equal([]);
    expect(plugins.verbs()).to.deep.equal(["ADD", "DEL"]);
  });

  it("after a container was created: a retry gets that one", async () => {
    const pod = await runPod(node);
    const config = containerConfig("sleep 1000");
    await killedAt("create.after-create", () => createContainer(node, pod, config));
    const containerId = await createContainer(node, pod, config);
    const { containers } = await node.runtime.listContainers({});
    expect(containers.map(({ id }) => id)).to.deep.equal([containerId]);
    await removePod(node, pod);
  });

  for (const place of ["start.after-log", "start.after-start"]) {
    it(`at ${place}: the container can be started, or runs`, async () => {
      const pod = await runPod(node);
      const containerId = await createContainer(node, pod, containerConfig("sleep 1000"));
      await killedAt(place, () => node.runtime.startContainer({ containerId }));
      const { status } = await node.runtime.containerStatus({ containerId });
      const runs = status?.state === ContainerState.CONTAINER_RUNNING;
      expect(runs).to.equal(place === "start.after-start");
      await node.runtime.startContainer({ containerId });
      const again = (await node.runtime.containerStatus({ containerId })).status;
      expect(again?.state).to.equal(ContainerState.CONTAINER_RUNNING);
      expect(readdirSync(pod.sandbox.logDirectory ?? "")).to.deep.equal(["main"]);
      await removePod(node, pod);
    });
  }

  for (const signal of ["SIGKILL", "SIGTERM"]) {
    it(`(${signal}) of Dockline leaves ids, states, addresses and lists as they were`, async () => {
      const pods = await Promise.all(Array.from({ length: 4 }, () => runPod(node)));
      for (const [at, pod] of pods.entries()) {
        const config = containerConfig(at === 0 ? "exit 3" : "sleep 1000");
        await startContainer(node, pod, config);
      }
      await node.runtime.stopPodSandbox({ podSandboxId: pods[3]!.podSandboxId });
      await until(async () => {
        const { containers } = await node.runtime.listContainers({});
        const { items } = await node.runtime.listPodSandbox({});
        return (
          containers.filter(({ state }) => state === ContainerState.CONTAINER_EXITED).length ===
            2 && items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY).length === 3
        );
      });
      const before = await snapshotOf(node);
      const calls = plugins.verbs();
      for (let restarts = 0; restarts < 3; restarts += 1) {
        if (signal === "SIGKILL") await node.kill();
        else expect(await node.terminate()).to.equal(0);
        await node.start(environment);
        expect(await snapshotOf(node)).to.deep.equal(before);
      }
      expect(plugins.verbs(), "no plugin was called").to.deep.equal(calls);
      for (const pod of pods) await removePod(node, pod);
    });
  }
});
