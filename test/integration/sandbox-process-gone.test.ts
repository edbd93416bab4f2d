import { expect } from "chai";
import { readProcess } from "../../src/sys/process-tree.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import { containerConfig, removePod, runPod, startContainer } from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";

describe("a container whose process is gone while Docker says that it runs", () => {
  let plugins: FailpointNode;
  let node: TestNode;

  before(async () => {
    plugins = await startFailpointNode();
    ({ node } = plugins);
    await removePod(node, await runPod(node));
  });
  after(async () => {
    await plugins.close();
  });

  /** Kills the process under its frozen shim, which is returned. */
  async function loseProcess(containerId: string): Promise<number> {
    const { Pid } = (await node.docker.inspectContainer(containerId)).State;
    const shim = readProcess(Pid)?.parent ?? 0;
    expect(shim).to.be.above(1);
    process.kill(shim, "SIGSTOP");
    process.kill(Pid, "SIGKILL");
    return shim;
  }

  it("does not keep its pod from being stopped, nor any other; all is removed once Docker notices", async () => {
    const start = nodeState(node);
    const pod = await runPod(node);
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const shim = await loseProcess(containerId);
    try {
      const { podSandboxId } = pod;
      await node.runtime.stopPodSandbox({ podSandboxId }, { timeoutMs: 40_000 });
      expect(nodeState(node).addresses).to.deep.equal([]);
      await removePod(node, await runPod(node));
    } finally {
      process.kill(shim, "SIGCONT");
    }
    await removePod(node, pod);
    await expectNothingLeft(node, start);
  });

  it("is stopped, and its removal fails within seconds, as does its pod's, until Docker notices", async () => {
    const start = nodeState(node);
    const pod = await runPod(node);
    const { podSandboxId } = pod;
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const shim = await loseProcess(containerId);
    try {
      const options = { timeoutMs: 25_000 };
      await node.runtime.stopContainer({ containerId, timeout: 2n }, options);
      await node.runtime.stopContainer({ containerId, timeout: 2n }, options);
      await removePod(node, await runPod(node));
      for (const remove of [
        node.runtime.removeContainer({ containerId }, options),
        node.runtime.removePodSandbox({ podSandboxId }, options),
      ]) {
        expect((await rpcFailure(remove)).code).to.be.oneOf(["UNAVAILABLE", "FAILED_PRECONDITION"]);
      }
    } finally {
      process.kill(shim, "SIGCONT");
    }
    await removePod(node, pod);
    await expectNothingLeft(node, start);
  });
});
