import { readFileSync } from "node:fs";
import { expect } from "chai";
import WebSocket from "ws";
import { cgroupFile } from "../../src/containers/host-writes.ts";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { processesBeside } from "../support/container-processes.ts";
import { expectError, inspect } from "../support/containers.ts";
import { failpointFile } from "../support/failpoint-file.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { docker } from "../support/node-state.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { until } from "../support/until.ts";

/** Below Docker's floor of 6 MiB, so that only a write after the start sets it. */
const limitBytes = 5n * 1024n * 1024n;

describe("what is owed to a container on the host", () => {
  const failpoint = failpointFile();
  const { environment } = failpoint;
  let node: TestNode;
  let pod: RunningPod;
  let start: NodeState;

  before(async () => {
    node = await startNode({ environment, withoutNetwork: true });
  });
  after(async () => {
    await node.close();
    failpoint.remove();
  });
  beforeEach(async () => {
    start = nodeState(node);
    pod = await runPod(node, hostSandboxConfig(node));
  });
  afterEach(async () => {
    node.proxy.faults.clear();
    await removePod(node, pod);
    await expectNothingLeft(node, start);
  });

  const limited = (): Promise<string> =>
    createContainer(
      node,
      pod,
      containerConfig("sleep 1000", {
        linux: { resources: { memoryLimitInBytes: limitBytes } },
      }),
    );
  /** What the kernel has in force; undefined when the container does not run. */
  const inForce = async (containerId: string): Promise<bigint | undefined> => {
    const { State } = await inspect(node, containerId);
    if (!State.Running) return undefined;
    const membership = readFileSync(`/proc/${State.Pid}/cgroup`, "utf8");
    for (const file of ["memory.limit_in_bytes", "memory.max"]) {
      const path = cgroupFile(membership, { controller: "memory", file }, containerId);
      try {
        return BigInt(readFileSync(path ?? "", "utf8").trim());
      } catch {
        // The other version of cgroups, or "max".
      }
    }
    return -1n;
  };
  const killedAt = async (place: string, work: Promise<unknown>): Promise<void> => {
    failpoint.arm(place);
    work.catch(() => undefined);
    await node.ended();
    failpoint.arm("");
    await node.start(environment);
  };

  for (const [place, expected] of [
    ["start.after-log", undefined],
    ["start.after-edits", undefined],
    ["start.after-start", limitBytes],
    ["start.after-writes", limitBytes],
  ] as const) {
    it(`is done after a kill at ${place} and no further call`, async () => {
      const containerId = await limited();
      failpoint.arm(place);
      await killedAt(place, node.runtime.startContainer({ containerId }));
      await until(async () => (await inForce(containerId)) === expected, 30_000);
    });
  }

  it("is done, or the container is ended, when Docker does not say what its start became", async function () {
    this.timeout(120_000);
    const containerId = await limited();
    node.proxy.faults.add({
      match: { method: "GET", route: /^\/containers\/\{id\}\/json/ },
      action: "hang",
    });
    const kill = { method: "POST", route: /^\/containers\/\{id\}\/kill/ };
    node.proxy.faults.add({ match: kill, action: "status", status: 500, body: "{}" });
    await expectError(node.runtime.startContainer({ containerId }), "UNAVAILABLE", /does not say/);
    expect(await inForce(containerId), "neither could be done").to.not.equal(limitBytes);
    node.proxy.faults.clear();
    node.proxy.cutUnanswered();
    await until(async () => [undefined, limitBytes].includes(await inForce(containerId)), 30_000);
  });

  it("is owed again when somebody restarts it with Docker's own command", async () => {
    const containerId = await limited();
    await node.runtime.startContainer({ containerId });
    expect(await inForce(containerId)).to.equal(limitBytes);
    docker(node.upstream, "restart", "-t", "0", containerId);
    await until(async () => (await inForce(containerId)) === limitBytes, 10_000);
  });

  for (const signal of ["SIGKILL", "SIGTERM"]) {
    it(`is the end of commands whose callers went with Dockline (${signal}), and of no others`, async () => {
      const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
      const { State } = await inspect(node, containerId);
      const beside = (): string[] => processesBeside(State.Pid, containerId).sort();
      const probe = node.runtime.execSync({ containerId, cmd: ["sleep", "1001"], timeout: 900n });
      probe.catch(() => undefined);
      const cmd = ["sleep", "1002"];
      const { url } = await node.runtime.exec({ containerId, cmd, stdin: true, stdout: true });
      const session = new WebSocket(url.replace(/^http/, "ws"), ["v4.channel.k8s.io"]);
      session.on("error", () => undefined);
      docker(node.upstream, "exec", "-d", containerId, "sleep", "1003");
      await until(() => beside().length === 3);
      if (signal === "SIGKILL") await node.kill();
      else await node.terminate();
      await node.start(environment);
      await until(() => beside().length === 1, 30_000);
      expect(beside()).to.deep.equal(["sleep 1003"]);
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(status?.state).to.equal(ContainerState.CONTAINER_RUNNING);
    });
  }
});

describe("what is owed to a container on an engine that is restarted, too", function () {
  this.timeout(120_000);
  let engine: PrivateEngine;
  let node: TestNode;

  before(async () => {
    engine = await startPrivateEngine([], { "live-restore": true });
    node = await startNode({ upstream: engine.socketPath, withoutNetwork: true });
  });
  after(async () => {
    await node.close();
    await engine.remove();
  });

  it("is done although Docker knows of no exec from before", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    const { State } = await inspect(node, containerId);
    const beside = (): string[] => processesBeside(State.Pid, containerId);
    node.runtime
      .execSync({ containerId, cmd: ["sleep", "1001"], timeout: 900n })
      .catch(() => undefined);
    await until(() => beside().length === 1);
    await node.kill();
    await engine.kill();
    await engine.start();
    await node.start();
    await until(() => beside().length === 0, 30_000);
    const { status } = await node.runtime.containerStatus({ containerId });
    expect(status?.state).to.equal(ContainerState.CONTAINER_RUNNING);
    await removePod(node, pod);
  });
});
