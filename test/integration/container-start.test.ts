import { existsSync } from "node:fs";
import { expect } from "chai";
import { ContainerState, NamespaceMode } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError, logPathOf, readCriLog, until } from "../support/containers.ts";
import type { TestNode } from "../support/node.ts";
import {
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removePod,
  runPod,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { sharedPod } from "../support/shared-pod.ts";

const { CONTAINER_CREATED, CONTAINER_RUNNING } = ContainerState;
const unified = existsSync("/sys/fs/cgroup/cgroup.controllers");
/** How many containers end at once. */
const rounds = Number(process.env["DOCKLINE_TEST_SHORT_LIVED"] ?? 30);

describe("the start of a container", () => {
  const shared = sharedPod();
  let node: TestNode;
  let pod: RunningPod;
  const config = numberedConfig("s");
  const start = (containerId: string): Promise<object> =>
    node.runtime.startContainer({ containerId });
  const stateOf = async (containerId: string): Promise<ContainerState | undefined> =>
    (await node.runtime.containerStatus({ containerId })).status?.state;

  before(() => {
    ({ node, pod } = shared);
  });
  beforeEach(() => {
    node.proxy.reset();
    node.proxy.faults.clear();
  });

  it("is refused once it has exited, and changes nothing then", async () => {
    const one = config("echo once");
    const containerId = await startContainer(node, pod, one);
    const status = await untilExited(node, containerId);
    await expectError(
      start(containerId),
      "FAILED_PRECONDITION",
      /has exited.*cannot be started again/,
    );
    expect(await untilExited(node, containerId)).to.deep.equal(status);
    expect(readCriLog(logPathOf(pod, one)).map(({ text }) => text)).to.deep.equal(["once"]);
    await node.runtime.removeContainer({ containerId });
  });

  it("is refused once a start of it has failed", async () => {
    const containerId = await createContainer(
      node,
      pod,
      config("", { command: ["/no/such/program"], args: [] }),
    );
    await expectError(start(containerId), "INTERNAL", /no such file/);
    await untilExited(node, containerId);
    await expectError(start(containerId), "FAILED_PRECONDITION", /cannot be started again/);
    await node.runtime.removeContainer({ containerId });
  });

  it("is fine for one that runs, which the answer of an earlier start may not have said", async () => {
    const containerId = await startContainer(node, pod, config("sleep 1000"));
    await start(containerId);
    expect(await stateOf(containerId)).to.equal(CONTAINER_RUNNING);
    await node.runtime.removeContainer({ containerId });
  });

  it("is fine for a short one whose answer was lost", async () => {
    const containerId = await createContainer(node, pod, config("exit 3"));
    node.proxy.faults.add({
      match: { method: "POST", route: /^\/containers\/\{id\}\/start$/ },
      action: "cutAfter",
      times: 1,
    });
    await start(containerId);
    expect((await untilExited(node, containerId)).exitCode).to.equal(3);
    await node.runtime.removeContainer({ containerId });
  });

  it("is refused in a sandbox that is stopped, or whose pause container was killed", async () => {
    const stopped = await runPod(node, hostSandboxConfig(node));
    const killed = await runPod(node, hostSandboxConfig(node));
    const containers = [
      await createContainer(node, stopped, config("sleep 1000")),
      await createContainer(node, killed, config("sleep 1000")),
    ];
    await node.runtime.stopPodSandbox({ podSandboxId: stopped.podSandboxId });
    await node.docker.killContainer(killed.podSandboxId, "KILL");
    await until("the pause container is dead", async () => {
      return !(await node.docker.inspectContainer(killed.podSandboxId)).State.Running;
    });
    for (const containerId of containers) {
      await expectError(start(containerId), "FAILED_PRECONDITION", /sandbox|namespace/);
      expect(await stateOf(containerId)).to.equal(CONTAINER_CREATED);
    }
    for (const one of [stopped, killed]) await removePod(node, one);
  });

  it("is refused for a debug container whose target ended since its creation", async () => {
    const target = await startContainer(node, pod, config("sleep 1000"));
    const joined = config("sleep 1000", {
      linux: {
        securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId: target } },
      },
    });
    const containerId = await createContainer(node, pod, joined);
    await node.runtime.stopContainer({ containerId: target, timeout: 0n });
    await expectError(start(containerId), "FAILED_PRECONDITION", /target_id.*is not running/);
    await node.runtime.removeContainer({ containerId: target });
    await expectError(start(containerId), "INVALID_ARGUMENT", /target_id/);
    await node.runtime.removeContainer({ containerId });
  });

  it(`is fine for ${rounds} that end at once, with all that a kubelet has written`, async function () {
    this.timeout(60_000 + rounds * 3_000);
    const failures: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const containerId = await createContainer(
        node,
        pod,
        config("", {
          command: ["true"],
          args: [],
          linux: {
            resources: {
              cpuShares: 102n,
              cpuPeriod: 100_000n,
              cpuQuota: 10_000n,
              // Below Docker's floor: written after the start, where dockline-oci is not there.
              memoryLimitInBytes: 5n << 20n,
              oomScoreAdj: 999n,
              hugepageLimits: ["2MB", "1GB"].map((pageSize) => ({ pageSize, limit: 0n })),
              unified: unified ? { "memory.oom.group": "1" } : {},
            },
            securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } },
          },
        }),
      );
      try {
        await start(containerId);
        const update = { cpuShares: 204n, oomScoreAdj: 998n };
        await node.runtime
          .updateContainerResources({ containerId, linux: update })
          .catch((error: unknown) => {
            const { code, details } = error as { code: number; details: string };
            // FAILED_PRECONDITION: has exited.
            if (code !== 9) failures.push(`update: ${details}`);
          });
        const { exitCode } = await untilExited(node, containerId);
        if (exitCode !== 0) failures.push(`exit code ${exitCode}`);
      } catch (error) {
        failures.push(String((error as { details?: string }).details));
      }
      await node.runtime.removeContainer({ containerId });
    }
    expect(failures).to.deep.equal([]);
  });
});
