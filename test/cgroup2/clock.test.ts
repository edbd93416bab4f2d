import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { expectStatusesAgree, untilListsAgree } from "../support/agreement.ts";
import { expectError, logPathOf, readCriLog } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  startContainer,
} from "../support/pods.ts";
import { until } from "../support/until.ts";

const hour = 3600;
const counting = "at=0; while :; do echo $at; at=$((at + 1)); sleep 1; done";

/** Sets the machine's own wall clock: only ever in a machine of the lane's. */
function setClock(bySeconds: number): void {
  execFileSync("date", ["-s", `@${Math.round(Date.now() / 1000) + bySeconds}`], {
    stdio: "ignore",
  });
}

describe("F29: a node whose clock is set", function () {
  this.timeout(240_000);
  let node: TestNode;

  before(async function () {
    if (!readFileSync("/proc/cpuinfo", "utf8").includes("User Mode Linux")) this.skip();
    node = await startNode();
    // The stream of events breaks again and again: where it is taken up again must not follow our clock.
    node.proxy.faults.add({ match: { route: /^\/events$/ }, action: "truncate", bytes: 2000 });
  });
  after(async () => {
    if ((node as TestNode | undefined) === undefined) return;
    await removeAllPods(node);
    await node.close();
  });

  it("forth, back and back again: lists, ends, timeouts, figures and logs stay right @cgroup2", async () => {
    const { runtime } = node;
    const pod = await runPod(node, hostSandboxConfig(node));
    const config = containerConfig(counting);
    const containerId = await startContainer(node, pod, config);
    const nanoCores = async (): Promise<number> => {
      const { stats } = await runtime.containerStats({ containerId });
      return Number(stats?.cpu?.usageNanoCores?.value ?? 0);
    };
    await nanoCores();
    for (const [at, seconds] of [hour, -2 * hour, hour].entries()) {
      const victimConfig = containerConfig("sleep 100000", { metadata: { name: `victim${at}` } });
      // In the midst of the create, or of the start.
      const timer = setTimeout(() => setClock(seconds), 400);
      const victim = await startContainer(node, pod, victimConfig);
      clearTimeout(timer);
      await untilListsAgree(node);
      await node.docker.killContainer(victim, "SIGKILL");
      const statusOf = async () => (await runtime.containerStatus({ containerId: victim })).status;
      await until(async () => (await statusOf())?.state === ContainerState.CONTAINER_EXITED);
      const ended = await statusOf();
      expect(ended?.exitCode).to.equal(137);
      expect(Number(ended!.finishedAt - ended!.startedAt), "no negative duration").to.be.at.least(
        0,
      );
      await expectStatusesAgree(node);

      const began = performance.now();
      const cmd = ["sleep", "1000"];
      const exec = runtime.execSync({ containerId, cmd, timeout: 1n });
      await expectError(exec, "DEADLINE_EXCEEDED", /timed out after 1 s/);
      expect(performance.now() - began).to.be.within(900, 20_000);
      expect(await nanoCores()).to.be.within(0, 2e9);
      const { stats } = await runtime.containerStats({ containerId });
      expect(Number(stats?.cpu?.timestamp) / 1e6).to.be.closeTo(Date.now(), 20_000);

      node.proxy.reset();
      await sleep(5_000);
      // A reconcile and a ping may fall into it, and the events' next connection.
      expect(node.proxy.count(), "no storm").to.be.at.most(10);
    }
    const numbers = readCriLog(logPathOf(pod, config)).map(({ text }) => Number(text));
    expect(numbers.length).to.be.greaterThan(10);
    expect(numbers).to.deep.equal(numbers.map((_, index) => index));
    const { status } = await runtime.status({});
    const ready = status?.conditions.filter(({ type }) => /^(Runtime|Network)Ready$/.test(type));
    expect(ready?.map(({ status }) => status)).to.deep.equal([true, true]);
  });
});
