import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { logPathOf, logText, readCriLog, until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removeAllPods,
  removePod,
  runPod,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { isAlive, memoryOf, shimOf, shimsWith } from "../support/shims.ts";

// Engines from API 1.43 on let a pod's containers share one containerd shim; on older ones each has
// its own. Either way pods outlive the engine under live-restore.

const talker = 'trap "exit 0" TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done';

for (const liveRestore of [true, false]) {
  describe(`a pod's shims, ${liveRestore ? "with" : "without"} live-restore`, function () {
    this.timeout(180_000);
    let engine: PrivateEngine;
    let node: TestNode;
    let grouped = false;

    before(async () => {
      engine = await startPrivateEngine([], { "live-restore": liveRestore });
      node = await startNode({ withoutNetwork: true, upstream: engine.socketPath });
      const { ApiVersion } = await node.docker.version();
      grouped = Number(ApiVersion.split(".")[1]) >= 43;
    });
    after(async () => {
      await node.close();
      await engine.remove();
    });
    afterEach(() => removeAllPods(node));

    const pidOf = async (id: string): Promise<number> =>
      (await node.docker.inspectContainer(id)).State.Pid;
    const member = (name: string, line = talker): ContainerInit =>
      containerConfig(line, { metadata: { name } });
    const podOf = async (names: string[]): Promise<{ pod: RunningPod; ids: string[] }> => {
      const pod = await runPod(node, hostSandboxConfig(node));
      const ids: string[] = [];
      for (const name of names) ids.push(await startContainer(node, pod, member(name)));
      return { pod, ids };
    };
    const shimsOf = async (ids: readonly string[]): Promise<number[]> => [
      ...new Set(await Promise.all(ids.map(async (id) => shimOf(await pidOf(id))))),
    ];
    const stateOf = async (containerId: string): Promise<ContainerState | undefined> =>
      (await node.runtime.containerStatus({ containerId })).status?.state;
    const engineShims = (): number[] => shimsWith(dirname(engine.socketPath));
    const back = async (): Promise<void> => {
      await engine.start();
      await until("ready again", async () => {
        const { status } = await node.runtime.status({});
        return status?.conditions.every(
          ({ type, status: is }) => type !== "RuntimeReady" || is,
        ) as boolean;
      });
    };

    if (liveRestore) {
      it("are one for pause and six members where the engine allows it", async () => {
        const names = ["a", "b", "c", "d", "e", "f"];
        const { pod, ids } = await podOf(names);
        const shims = await shimsOf([pod.podSandboxId, ...ids]);
        expect(shims).to.have.length(grouped ? 1 : 7);
        const mib = (memoryOf(shims) / 2 ** 20).toFixed(1);
        console.log(`      ${shims.length} shim(s) for a pod of 7: ${mib} MiB`);
        const second = await podOf(["a"]);
        const others = await shimsOf([second.pod.podSandboxId, ...second.ids]);
        expect(others.filter((pid) => shims.includes(pid))).to.deep.equal([]);
      });
    }

    it("outlive the end of one member, which starts again beside the others", async () => {
      const { pod, ids } = await podOf(["a", "b"]);
      const [first = "", second = ""] = ids;
      const before = await shimsOf([pod.podSandboxId, second]);
      await node.runtime.stopContainer({ containerId: first, timeout: 5n });
      expect((await untilExited(node, first)).exitCode).to.equal(0);
      expect(await stateOf(second)).to.equal(ContainerState.CONTAINER_RUNNING);
      const again = await startContainer(
        node,
        pod,
        containerConfig(talker, { metadata: { name: "a", attempt: 1 } }),
      );
      expect(await shell(node, again, "echo hi")).to.equal("hi");
      expect(await shell(node, second, "echo hi")).to.equal("hi");
      expect(await shimsOf([pod.podSandboxId, second])).to.deep.equal(before);
      if (grouped) expect(await shimsOf([again])).to.deep.equal(before);
      await node.runtime.removeContainer({ containerId: first });
      expect(await shell(node, second, "echo hi")).to.equal("hi");
    });

    it("take what runs under them along when one is killed, and leave nothing", async () => {
      const { pod, ids } = await podOf(["a", "b"]);
      const pids = await Promise.all([pod.podSandboxId, ...ids].map(pidOf));
      const bystander = await podOf(["x"]);
      for (const shim of await shimsOf([pod.podSandboxId, ...ids])) process.kill(shim, "SIGKILL");
      for (const id of ids) {
        const status = await untilExited(node, id);
        expect(status.exitCode).to.equal(137);
      }
      await until("the sandbox is not ready", async () => {
        const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
        return status?.state === PodSandboxState.SANDBOX_NOTREADY;
      });
      expect(pids.filter(isAlive)).to.deep.equal([]);
      await removePod(node, pod);
      expect(await shell(node, bystander.ids[0] ?? "", "echo hi")).to.equal("hi");
      await removeAllPods(node);
      await until("no shim is left", () => engineShims().length === 0);
    });

    if (liveRestore) {
      for (const how of ["killed", "stopped"] as const) {
        it(`run on while the engine is ${how}, and all works when it is back`, async () => {
          const { pod, ids } = await podOf(["a", "b"]);
          const [first = "", second = ""] = ids;
          const all = [pod.podSandboxId, ...ids];
          const pids = await Promise.all(all.map(pidOf));
          const shims = await shimsOf(all);
          await (how === "killed" ? engine.kill() : engine.stop());
          await sleep(500);
          expect(pids.filter(isAlive)).to.deep.equal(pids);
          await back();
          expect(await Promise.all(all.map(pidOf))).to.deep.equal(pids);
          expect(await stateOf(first)).to.equal(ContainerState.CONTAINER_RUNNING);
          expect(await shell(node, first, "echo hi")).to.equal("hi");
          const more = await startContainer(node, pod, member("c"));
          if (grouped) expect(await shimsOf([...all, more])).to.deep.equal(shims);
          // Every line once and in order, those of the time without an engine too.
          await node.runtime.stopContainer({ containerId: second, timeout: 5n });
          expect((await untilExited(node, second)).exitCode).to.equal(0);
          const lines = logText(readCriLog(logPathOf(pod, member("b"))))
            .trimEnd()
            .split("\n");
          expect(lines.length).to.be.above(8);
          expect(lines).to.deep.equal(lines.map((_, index) => `line ${index + 1}`));
          await removePod(node, pod);
          expect(pids.filter(isAlive)).to.deep.equal([]);
          await until("no shim is left", () => engineShims().length === 0);
        });
      }
    } else {
      for (const how of ["killed", "stopped"] as const) {
        it(`end with an engine that is ${how}; the pod is NotReady and a new one runs`, async () => {
          const { pod, ids } = await podOf(["a", "b"]);
          const pids = await Promise.all([pod.podSandboxId, ...ids].map(pidOf));
          await (how === "killed" ? engine.kill() : engine.stop());
          await back();
          for (const id of ids) await untilExited(node, id);
          const { status } = await node.runtime.podSandboxStatus({
            podSandboxId: pod.podSandboxId,
          });
          expect(status?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
          await until("all processes ended", () => pids.filter(isAlive).length === 0);
          const next = await podOf(["a"]);
          expect(await shell(node, next.ids[0] ?? "", "echo hi")).to.equal("hi");
          await removeAllPods(node);
          await until("no shim is left", () => engineShims().length === 0);
        });
      }
    }
  });
}

describe("a pod's shims with --shim-per-container", () => {
  let engine: PrivateEngine;
  let node: TestNode;

  before(async function () {
    this.timeout(120_000);
    engine = await startPrivateEngine();
    node = await startNode({
      withoutNetwork: true,
      upstream: engine.socketPath,
      args: ["--shim-per-container"],
    });
  });
  after(async () => {
    await node.close();
    await engine.remove();
  });

  it("are as many as containers", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const ids = [pod.podSandboxId];
    for (const name of ["a", "b", "c", "d", "e", "f"]) {
      ids.push(
        await startContainer(node, pod, containerConfig("sleep 100", { metadata: { name } })),
      );
    }
    const pids = await Promise.all(
      ids.map(async (id) => (await node.docker.inspectContainer(id)).State.Pid),
    );
    const shims = [...new Set(pids.map(shimOf))];
    const mib = (memoryOf(shims) / 2 ** 20).toFixed(1);
    console.log(`      ${shims.length} shims for a pod of 7: ${mib} MiB`);
    expect(shims).to.have.length(7);
    await removePod(node, pod);
  });
});
