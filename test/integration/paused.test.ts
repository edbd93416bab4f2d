import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { processesBeside } from "../support/container-processes.ts";
import { expectError } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import { until } from "../support/until.ts";

/** Somebody has called `docker pause`, for which the CRI has no state. */
describe("a paused container", () => {
  let node: TestNode;
  before(async () => {
    node = await startNode({ withoutNetwork: true });
  });
  after(async () => {
    await node.close();
  });
  leavesNothing(() => node);

  const pause = (id: string): void =>
    void execFileSync("docker", ["-H", `unix://${node.upstream}`, "pause", id]);
  const polite = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
  const seconds = async (work: Promise<unknown>): Promise<number> => {
    const begun = performance.now();
    await work;
    return (performance.now() - begun) / 1000;
  };

  it("is running; its probes tell that it cannot run them, and do not fail", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig(polite));
    // One that was begun before.
    const begun = node.runtime
      .execSync({ containerId, cmd: ["sleep", "1021"], timeout: 60n })
      .catch((error: unknown) => error);
    const init = (await node.docker.inspectContainer(containerId)).State.Pid;
    await until(() => processesBeside(init, containerId).some((line) => line.includes("1021")));
    pause(containerId);
    const { containers } = await node.runtime.listContainers({ filter: { id: containerId } });
    expect(containers[0]?.state).to.equal(ContainerState.CONTAINER_RUNNING);
    for (let at = 0; at < 3; at += 1) {
      const call = node.runtime.execSync({ containerId, cmd: ["true"], timeout: 1n });
      await expectError(call, "FAILED_PRECONDITION", /paused/);
    }
    await removePod(node, pod);
    await begun;
  });

  it("is stopped and removed", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig(polite));
    pause(containerId);
    const took = await seconds(node.runtime.stopContainer({ containerId, timeout: 2n }));
    expect(took, "seconds of a stop with 2 s of grace").to.be.below(15);
    const { status } = await node.runtime.containerStatus({ containerId });
    expect(status?.state).to.equal(ContainerState.CONTAINER_EXITED);
    await node.runtime.removeContainer({ containerId });

    const other = await startContainer(
      node,
      pod,
      containerConfig(polite, { metadata: { name: "removed" } }),
    );
    pause(other);
    await node.runtime.removeContainer({ containerId: other });
    await removePod(node, pod);
  });

  it("goes with its pod, whose own container may be paused too", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig(polite));
    pause(containerId);
    pause(pod.podSandboxId);
    expect(await seconds(node.runtime.stopPodSandbox(pod))).to.be.below(15);
    const { status } = await node.runtime.containerStatus({ containerId });
    expect(status?.state).to.equal(ContainerState.CONTAINER_EXITED);
    await node.runtime.removePodSandbox(pod);
  });
});
