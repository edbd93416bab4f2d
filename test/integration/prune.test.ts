import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, logPathOf, until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  removePod,
  runPod,
  startContainer,
  untilExited,
} from "../support/pods.ts";

describe("docker container prune beside Dockline", function () {
  this.timeout(60_000);
  let node: TestNode;
  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });
  /** Of this pod alone: other stopped containers of the machine are nobody's business. */
  const prune = (label: string): void => {
    const args = ["-H", `unix://${node.upstream}`, "container", "prune", "-f"];
    execFileSync("docker", [...args, "--filter", `label=${label}`], { stdio: "ignore" });
  };

  it("takes ended containers from the status and leaves their log; the pod goes on", async () => {
    const start = nodeState(node);
    const pod = await runPod(node);
    const running = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", { metadata: { name: "stays" } }),
    );
    const first = containerConfig("echo first; exit 3", { metadata: { name: "app" } });
    const ended = await startContainer(node, pod, first);
    await untilExited(node, ended);
    const waiting = await createContainer(
      node,
      pod,
      containerConfig("true", { metadata: { name: "waiting" } }),
    );
    prune(`io.kubernetes.sandbox.id=${pod.podSandboxId}`);
    const listed = async (): Promise<string[]> =>
      (await node.runtime.listContainers({})).containers.map(({ id }) => id);
    await until("the list has what is left", async () => (await listed()).length === 1);
    expect(await listed()).to.deep.equal([running]);
    for (const containerId of [ended, waiting]) {
      await expectError(node.runtime.containerStatus({ containerId }), "NOT_FOUND", /no container/);
    }
    await expectError(node.runtime.startContainer({ containerId: waiting }), "NOT_FOUND", /start/);
    // The kubelet finds no container any more for `kubectl logs --previous`; its file is there.
    expect(existsSync(logPathOf(pod, first))).to.equal(true);
    // What the kubelet does next: it clears the old one away and starts the next attempt.
    await node.runtime.removeContainer({ containerId: ended });
    const next = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", { metadata: { name: "app", attempt: 1 } }),
    );
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect((await listed()).sort()).to.deep.equal([running, next].sort());
    await removePod(node, pod);
    await expectNothingLeft(node, start);
  });

  it("takes a stopped sandbox, whose removal frees what it still has", async () => {
    const start = nodeState(node);
    const pod = await runPod(node);
    await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    prune(`io.kubernetes.pod.uid=${pod.sandbox.metadata?.uid ?? ""}`);
    await removePod(node, pod);
    expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
    await expectNothingLeft(node, start);
  });
});
