import { expect } from "chai";
import { release } from "../../src/cli/release.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import { hostSandboxConfig, removePod, runPod } from "../support/pods.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";

describe("CNI GC of a network of spec 1.1", function () {
  this.timeout(120_000);
  let plugins: FailpointNode;
  let node: TestNode;
  let start: NodeState;

  before(async () => {
    plugins = await startFailpointNode();
    ({ node } = plugins);
    await removePod(node, await runPod(node));
    const { plugins: list, ...rest } = plugins.config();
    const [first] = list as { delegate: object }[];
    const delegate = { ...first?.delegate, cniVersion: "1.0.0" };
    plugins.writeConfig({ ...rest, cniVersion: "1.1.0", plugins: [{ ...first, delegate }] });
    start = nodeState(node);
  });
  after(async () => {
    await plugins.close();
  });
  beforeEach(() => plugins.failOn({}));
  afterEach(async () => {
    await expectNothingLeft(node, start);
  });

  const told = (): string[][] =>
    plugins
      .calls()
      .filter(({ verb }) => verb === "GC")
      .map(({ config }) =>
        (config["cni.dev/valid-attachments"] as { containerID: string; ifname: string }[])
          .filter(({ ifname }) => ifname === "eth0")
          .map(({ containerID }) => containerID)
          .sort(),
      );
  const asked = async (): Promise<number> =>
    await release(["--gc", "--endpoint", node.endpoint], () => undefined);

  it("runs at the start, with the pods that there are, and those are left alone", async () => {
    const [pod, host] = [await runPod(node), await runPod(node, hostSandboxConfig(node))];
    for (const end of ["kill", "terminate"] as const) {
      plugins.failOn({});
      await node[end]();
      await node.start();
      await until(() => told().length > 0, 20_000);
      expect(told()).to.deep.equal([[pod.podSandboxId]]);
    }
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(told(), "once").to.have.length(1);
    for (const one of [pod, host]) await removePod(node, one);
  });

  it("runs after a DEL was given up, without that pod in its list", async () => {
    const [pod, other] = [await runPod(node), await runPod(node)];
    plugins.failOn({ DEL: "9*late-error(never again)" });
    await rpcFailure(node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId }));
    const args = [pod.podSandboxId.slice(0, 12), "--apply", "--endpoint", node.endpoint];
    expect(await release(args, () => undefined)).to.equal(0);
    await until(() => told().length > 0, 20_000);
    expect(told()).to.deep.equal([[other.podSandboxId]]);
    plugins.failOn({});
    for (const one of [pod, other]) await removePod(node, one);
  });

  it("runs when an operator asks, who hears when a plugin fails or the network has none", async () => {
    const pod = await runPod(node);
    expect(await asked()).to.equal(0);
    expect(told()).to.deep.equal([[pod.podSandboxId]]);
    plugins.failOn({ GC: "1*error(not now)" });
    expect(await asked()).to.equal(1);
    await removePod(node, pod);
    const config = plugins.config();
    plugins.writeConfig();
    expect(await asked(), "a network of CNI 1.0").to.equal(1);
    plugins.writeConfig(config);
  });
});
