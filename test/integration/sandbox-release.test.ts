import { expect } from "chai";
import { release } from "../../src/cli/release.ts";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";

describe("a pod whose CNI DEL can never work", () => {
  let plugins: FailpointNode;
  let node: TestNode;
  let start: NodeState;

  before(async () => {
    plugins = await startFailpointNode();
    ({ node } = plugins);
    await removePod(node, await runPod(node));
    start = nodeState(node);
  });
  after(async () => {
    await plugins.close();
  });

  const released = async (...args: string[]): Promise<{ code: number; text: string }> => {
    let text = "";
    const code = await release([...args, "--endpoint", node.endpoint], (more) => (text += more));
    return { code, text };
  };

  it("stays until an operator releases it, who is shown first what is owed", async () => {
    const pod = await runPod(node);
    const { podSandboxId } = pod;
    await startContainer(node, pod, containerConfig("sleep 1000"));
    const name = pod.sandbox.metadata?.name ?? "";
    expect((await released(name)).code, "a pod that runs owes nothing").to.equal(1);
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
    // It does its work and fails all the same, so that nothing is left for the test to free.
    plugins.failOn({ DEL: "9*late-error(never again)" });
    for (let times = 0; times < 3; times += 1) {
      await rpcFailure(node.runtime.stopPodSandbox({ podSandboxId }));
    }
    const shown = await released(name);
    expect(shown.code).to.equal(0);
    expect(shown.text)
      .to.include("never again")
      .and.include(status?.network?.ip ?? "?");
    const kept = await node.runtime.podSandboxStatus({ podSandboxId });
    expect(kept.status?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    await rpcFailure(node.runtime.removePodSandbox({ podSandboxId }));

    expect((await released(podSandboxId.slice(0, 12), "--apply")).code).to.equal(0);
    plugins.failOn({});
    await removePod(node, pod);
    expect((await released(name)).code, "a pod that is gone").to.equal(1);
    await expectNothingLeft(node, start);
  });

  it("is let go by itself when ADD never completed and the namespace is gone", async () => {
    plugins.failOn({ ADD: "1*late-error(half done)", DEL: "9*late-error(never again)" });
    await rpcFailure(node.runtime.runPodSandbox({ config: sandboxConfig(node) }));
    const { items } = await node.runtime.listPodSandbox({});
    const podSandboxId = items[0]?.id ?? "";
    // With the namespace it might still work; after that failure the namespace goes.
    await rpcFailure(node.runtime.stopPodSandbox({ podSandboxId }));
    await node.runtime.stopPodSandbox({ podSandboxId });
    await node.runtime.removePodSandbox({ podSandboxId });
    plugins.failOn({});
    await expectNothingLeft(node, start);
  });
});
