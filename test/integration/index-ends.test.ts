import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerStatus } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";

/** Room for a shell, not for what it has to hold. */
const smallMemory = {
  resources: { memoryLimitInBytes: 16n << 20n, memorySwapLimitInBytes: 16n << 20n },
};

describe("how containers end", () => {
  let node: TestNode;
  let pod: RunningPod;

  before(async () => {
    node = await startNode();
    pod = await runPod(node, hostSandboxConfig(node));
  });
  after(async () => {
    await removePod(node, pod);
    await node.close();
  });

  const config = (name: string, line: string, fields: ContainerInit = {}): ContainerInit =>
    containerConfig(line, { metadata: { name }, ...fields });

  /** Status, list and the pod's own account of it say the same. */
  async function expectEnd(
    status: ContainerStatus,
    expected: { exitCode: number; reason: string },
  ): Promise<void> {
    expect(status).to.include({ state: ContainerState.CONTAINER_EXITED, ...expected });
    expect(status.finishedAt > 0n, "has an end").to.equal(true);
    expect(status.startedAt <= status.finishedAt, "began before it ended").to.equal(true);
    expect(status.createdAt <= status.startedAt, "was made before it began").to.equal(true);
    const { containers } = await node.runtime.listContainers({ filter: { id: status.id } });
    expect(containers.map(({ state }) => state)).to.deep.equal([ContainerState.CONTAINER_EXITED]);
    const { containersStatuses } = await node.runtime.podSandboxStatus({
      podSandboxId: pod.podSandboxId,
    });
    const inPod = containersStatuses.find(({ id }) => id === status.id);
    expect(inPod).to.include({ state: status.state, ...expected, finishedAt: status.finishedAt });
  }

  it("is Completed with code 0, Error with another, 137 when killed", async () => {
    for (const [line, exitCode, reason] of [
      ["sleep 0.3", 0, "Completed"],
      ["sleep 0.3; exit 7", 7, "Error"],
    ] as const) {
      const id = await startContainer(node, pod, config(`code${exitCode}`, line));
      await expectEnd(await untilExited(node, id), { exitCode, reason });
    }
    const id = await startContainer(node, pod, config("killed", "sleep 1000"));
    await node.docker.killContainer(id, "SIGKILL");
    await expectEnd(await untilExited(node, id), { exitCode: 137, reason: "Error" });
  });

  it("is reported right when it comes before anybody looks", async () => {
    for (let round = 0; round < 5; round += 1) {
      const exitCode = round;
      const id = await startContainer(node, pod, config(`quick${round}`, `exit ${exitCode}`));
      // No wait for anything: the very next reads.
      const { containers } = await node.runtime.listContainers({ filter: { id } });
      const { status } = await node.runtime.containerStatus({ containerId: id });
      const states = [ContainerState.CONTAINER_RUNNING, ContainerState.CONTAINER_EXITED];
      expect(states).to.include(containers[0]?.state);
      expect(states).to.include(status?.state);
      if (status?.state === ContainerState.CONTAINER_EXITED)
        expect(status.exitCode).to.equal(exitCode);
      const reason = exitCode === 0 ? "Completed" : "Error";
      await expectEnd(await untilExited(node, id), { exitCode, reason });
    }
  });

  it("is ContainerCannotRun when the command is not there", async () => {
    const missing = config("missing", "", { command: ["/no/such/program"], args: [] });
    const containerId = await createContainer(node, pod, missing);
    const error = await node.runtime.startContainer({ containerId }).then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    );
    expect(error?.message).to.include("/no/such/program");
    const { status } = await node.runtime.containerStatus({ containerId });
    expect(status?.message).to.include("/no/such/program");
    expect(status).to.include({
      state: ContainerState.CONTAINER_EXITED,
      reason: "ContainerCannotRun",
    });
    expect([127, 128]).to.include(status?.exitCode);
    const { containers } = await node.runtime.listContainers({ filter: { id: containerId } });
    expect(containers[0]?.state).to.equal(ContainerState.CONTAINER_EXITED);
  });

  it("is OOMKilled when the first process used too much memory", async () => {
    for (let round = 0; round < 3; round += 1) {
      const line = "exec dd if=/dev/zero of=/dev/null bs=256M";
      const greedy = config(`greedy${round}`, line, { linux: smallMemory });
      const id = await startContainer(node, pod, greedy);
      await expectEnd(await untilExited(node, id), { exitCode: 137, reason: "OOMKilled" });
    }
  });

  it("is OOMKilled when a child was killed and the container failed of it", async () => {
    const line = "dd if=/dev/zero of=/dev/null bs=256M; exit 9";
    const id = await startContainer(node, pod, config("child", line, { linux: smallMemory }));
    await expectEnd(await untilExited(node, id), { exitCode: 9, reason: "OOMKilled" });
  });

  it("keeps its code and times over a restart of Dockline", async () => {
    const id = await startContainer(node, pod, config("kept", "exit 5"));
    const before = await untilExited(node, id);
    await node.kill();
    await node.start();
    const { status } = await node.runtime.containerStatus({ containerId: id });
    // The ids of a process that is gone can only be remembered by who saw it.
    expect({ ...status, user: undefined }).to.deep.equal({ ...before, user: undefined });
  });
});
