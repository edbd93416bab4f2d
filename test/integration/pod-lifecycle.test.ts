import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";

describe("a pod's life", () => {
  let node: TestNode;

  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  it("runs, is listed, reported, stopped and removed", async () => {
    const { runtime } = node;
    const pod = await runPod(node, sandboxConfig(node));
    const { status } = await runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(status?.network?.ip).to.match(/^10\./);
    expect(status?.metadata).to.include({ namespace: "test", attempt: 0 });

    const config = containerConfig(
      'echo out; echo err >&2; trap "exit 3" TERM; while :; do sleep 0.1; done',
    );
    const containerId = await createContainer(node, pod, config);
    let container = (await runtime.containerStatus({ containerId })).status;
    expect(container?.state).to.equal(ContainerState.CONTAINER_CREATED);
    expect(container?.startedAt).to.equal(0n);

    await runtime.startContainer({ containerId });
    container = (await runtime.containerStatus({ containerId })).status;
    expect(container?.state).to.equal(ContainerState.CONTAINER_RUNNING);
    expect(container?.startedAt).to.not.equal(0n);
    const { containers } = await runtime.listContainers({
      filter: { podSandboxId: pod.podSandboxId },
    });
    expect(containers.map(({ id, state }) => ({ id, state }))).to.deep.equal([
      { id: containerId, state: ContainerState.CONTAINER_RUNNING },
    ]);
    expect(await shell(node, containerId, "hostname")).to.equal(pod.sandbox.hostname);

    await runtime.stopContainer({ containerId, timeout: 10n });
    const exited = await untilExited(node, containerId);
    expect(exited.exitCode).to.equal(3);
    expect(exited.reason).to.equal("Error");
    const log = readFileSync(join(pod.sandbox.logDirectory ?? "", "main/0.log"), "utf8");
    expect(log).to.match(/^\S+ stdout F out$/m);
    expect(log).to.match(/^\S+ stderr F err$/m);

    await runtime.removeContainer({ containerId });
    await removePod(node, pod);
    expect((await runtime.listPodSandbox({})).items).to.deep.equal([]);
  });

  it("is removed with its running containers", async () => {
    const pod = await runPod(node);
    const id = await startContainer(node, pod, containerConfig("sleep 1000"));
    expect(id).to.have.length(64);
    await removePod(node, pod);
    expect((await node.runtime.listContainers({})).containers).to.deep.equal([]);
  });
});
