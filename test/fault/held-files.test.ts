import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { passes } from "../support/pass-rule.ts";
import {
  containerConfig,
  createContainer,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { until } from "../support/until.ts";

describe("a container whose files are held when it is removed", function () {
  this.timeout(120_000);
  let node: TestNode;
  const held: string[] = [];

  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });
  afterEach(() => {
    release();
  });

  /**
   * A file that cannot be removed, in the writable layer: the engine's removal fails and leaves the
   * container Dead with its name, as a leaked mount did. (A mount itself is detached by 20.10 and later.)
   */
  async function hold(id: string): Promise<void> {
    const { GraphDriver } = await node.docker.inspectContainer(id);
    const layer = GraphDriver?.Data?.["UpperDir"];
    if (layer === undefined) throw new Error("the engine does not tell where the layer is");
    const path = join(layer, "held");
    writeFileSync(path, "");
    execFileSync("chattr", ["+i", path]);
    held.push(path);
  }

  function release(): void {
    for (const path of held.splice(0)) {
      if (existsSync(path)) execFileSync("chattr", ["-i", path]);
    }
  }

  it("F17: of a sandbox: the pod is recreated beside it, and the stuck one goes once it can", async () => {
    const config = sandboxConfig(node);
    const first = await runPod(node, config);
    await passes(node, async () => {
      await hold(first.podSandboxId);
      await node.docker.killContainer(first.podSandboxId, "SIGKILL");
      await until(async () => {
        const { status } = await node.runtime.podSandboxStatus(first);
        return status?.state === PodSandboxState.SANDBOX_NOTREADY;
      });
      // Same metadata, another request: the old one is in the way.
      const again = { ...config, annotations: { changed: "yes" } };
      const second = await runPod(node, again);
      expect(second.podSandboxId).to.not.equal(first.podSandboxId);
      const { status } = await node.runtime.podSandboxStatus(second);
      expect(status?.state).to.equal(PodSandboxState.SANDBOX_READY);
      release();
      await removePod(node, second);
      await removePod(node, first);
      await until(async () => {
        const left = await node.docker.listContainers(["io.kubernetes.docker.type"]);
        return left.every(({ Id }) => Id !== first.podSandboxId);
      }, 15_000);
    });
  });

  it("F17: of a container: removal says so until it works, and a new one starts meanwhile", async () => {
    const pod = await runPod(node);
    const config = containerConfig("sleep 1000");
    await passes(node, async () => {
      const first = await startContainer(node, pod, config);
      await hold(first);
      await node.runtime.stopContainer({ containerId: first, timeout: 0n });
      const removal = await node.runtime.removeContainer({ containerId: first }).then(
        () => "OK",
        (error: unknown) => (error as Error).message,
      );
      const stuck = await node.docker.listContainers(["io.kubernetes.docker.type=container"]);
      const there = stuck.some(({ Id }) => Id === first);
      expect(removal === "OK", `removal said ${removal}`).to.equal(!there);
      if (there) {
        expect(removal).to.match(/held|not permitted|busy|remov/i);
        const { status } = await node.runtime.containerStatus({ containerId: first });
        expect(status?.state).to.be.oneOf([
          ContainerState.CONTAINER_EXITED,
          ContainerState.CONTAINER_UNKNOWN,
        ]);
      }
      const second = await createContainer(node, pod, { ...config, args: ["sleep 2000"] });
      await node.runtime.startContainer({ containerId: second });
      expect(second).to.not.equal(first);
      release();
      await node.runtime.removeContainer({ containerId: first });
      const { containers } = await node.runtime.listContainers({ filter: { id: first } });
      expect(containers).to.deep.equal([]);
    });
  });
});
