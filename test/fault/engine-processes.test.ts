import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { readProcess } from "../../src/sys/process-tree.ts";
import { logPathOf, readCriLog } from "../support/containers.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import type { TestNode } from "../support/node.ts";
import { nodeState } from "../support/oracle.ts";
import { engineReady, passes } from "../support/pass-rule.ts";
import {
  containerConfig,
  hostSandboxConfig,
  runPod,
  shell,
  startContainer,
} from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { until } from "../support/until.ts";

/** Seconds for which dockerd stands still; the soak's own fault does it for longer. */
const freezeSeconds = Number(process.env["DOCKLINE_FREEZE_SECONDS"] ?? "60");
const numbered = "at=0; while :; do echo $at; at=$((at + 1)); sleep 0.1; done";
const polite = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

function residentKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

async function pidOf(node: TestNode, id: string): Promise<number> {
  return (await node.docker.inspectContainer(id)).State.Pid;
}

for (const liveRestore of [false, true]) {
  describe(`dockerd ${liveRestore ? "with" : "without"} live-restore`, function () {
    this.timeout(180_000);
    let engine: PrivateEngine;
    let plugins: FailpointNode;
    let node: TestNode;

    before(async () => {
      engine = await startPrivateEngine(liveRestore ? ["--live-restore"] : []);
      plugins = await startFailpointNode({
        upstream: engine.socketPath,
        args: ["--runtime-request-timeout=15s"],
      });
      ({ node } = plugins);
    });
    after(async () => {
      await plugins.close();
      await engine.remove();
    });

    const stateOf = async (containerId: string): Promise<ContainerState | undefined> =>
      (await node.runtime.containerStatus({ containerId })).status?.state;
    const restart = {
      "killed and started again": async () => {
        await engine.kill();
        await until(async () => !(await engineReady(node)), 13_000, "NotReady within 10 s");
        await engine.start();
      },
      "stopped and started again": async () => {
        await engine.stop();
        await until(async () => !(await engineReady(node)), 13_000, "NotReady within 10 s");
        await engine.start();
      },
    };

    for (const [how, again] of Object.entries(restart)) {
      if (liveRestore) {
        it(`F5: ${how}: all runs on, pids, addresses and logs too, and no plugin is called`, async () => {
          const pod = await runPod(node);
          const config = containerConfig(numbered, { metadata: { name: "count" } });
          const containerId = await startContainer(node, pod, config);
          const pids = [await pidOf(node, pod.podSandboxId), await pidOf(node, containerId)];
          const { status } = await node.runtime.podSandboxStatus(pod);
          await passes(node, async () => {
            plugins.failOn({});
            await again();
            await until(() => engineReady(node), 10_000);
            expect(plugins.verbs(), "calls of plugins").to.deep.equal([]);
            expect([
              await pidOf(node, pod.podSandboxId),
              await pidOf(node, containerId),
            ]).to.deep.equal(pids);
            expect(await stateOf(containerId)).to.equal(ContainerState.CONTAINER_RUNNING);
            const after = await node.runtime.podSandboxStatus(pod);
            expect(after.status?.network?.ip).to.equal(status?.network?.ip);
            expect(await shell(node, containerId, "echo here")).to.equal("here");
            const path = logPathOf(pod, config);
            const lines = readCriLog(path).length;
            await until(() => readCriLog(path).length > lines + 5, 5000, "the log goes on");
            const numbers = readCriLog(path).map(({ text }) => Number(text));
            expect(numbers).to.deep.equal(numbers.map((_, at) => at));
          });
        });
        continue;
      }
      it(`F4: ${how}: what it ended is EXITED, stop and remove free the addresses`, async () => {
        const pod = await runPod(node);
        const containerId = await startContainer(node, pod, containerConfig(polite));
        const rule = { bystanderDies: true, mayAnswer: ["UNAVAILABLE" as const] };
        await passes(
          node,
          async () => {
            await again();
            await until(() => engineReady(node), 10_000);
            await until(
              async () => (await stateOf(containerId)) === ContainerState.CONTAINER_EXITED,
            );
            const { status } = await node.runtime.podSandboxStatus(pod);
            expect(status?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
            const { podSandboxId } = pod;
            await node.runtime.stopPodSandbox({ podSandboxId });
            // The bystander's is still there.
            expect(nodeState(node).addresses).to.have.length(1);
            await node.runtime.removePodSandbox({ podSandboxId });
          },
          rule,
        );
      });
    }

    if (!liveRestore) return;

    it("F6: containerd killed: starts and execs fail clearly, and work again within 30 s", async () => {
      const pod = await runPod(node, hostSandboxConfig(node));
      const containerId = await startContainer(node, pod, containerConfig(polite));
      await passes(node, async () => {
        const { pid } = node;
        process.kill(engine.containerdPid(), "SIGKILL");
        const begun = performance.now();
        let refused = 0;
        for (let at = 0; ; at += 1) {
          try {
            const next = await runPod(node, hostSandboxConfig(node));
            await startContainer(node, next, containerConfig(polite));
            await shell(node, containerId, "true");
            break;
          } catch (error) {
            refused += 1;
            expect((error as Error).message).to.not.match(/<html|\n.*\n/i);
            if (performance.now() - begun > 30_000) throw error;
            await sleep(200);
          }
        }
        expect(node.pid).to.equal(pid);
        process.stdout.write(
          `        containerd killed: ${refused} calls refused, whole after ${Math.round(performance.now() - begun)} ms\n`,
        );
      });
    });

    it("F7: a container's shim killed: that container is EXITED, all others run on", async () => {
      const pod = await runPod(node);
      const other = await startContainer(
        node,
        await runPod(node),
        containerConfig(polite, { metadata: { name: "other" } }),
      );
      const containerId = await startContainer(node, pod, containerConfig(polite));
      await passes(node, async () => {
        const shim = readProcess(await pidOf(node, containerId))?.parent ?? 0;
        expect(readFileSync(`/proc/${shim}/comm`, "utf8")).to.match(/^containerd-shim/);
        process.kill(shim, "SIGKILL");
        await until(async () => {
          const state = await stateOf(containerId);
          return (
            state === ContainerState.CONTAINER_EXITED || state === ContainerState.CONTAINER_UNKNOWN
          );
        });
        expect(await stateOf(other)).to.equal(ContainerState.CONTAINER_RUNNING);
        expect(await shell(node, other, "echo here")).to.equal("here");
      });
    });

    it(`F8: frozen for ${freezeSeconds} s: NotReady within 10 s, nothing piles up, whole within 10 s`, async () => {
      const pod = await runPod(node, hostSandboxConfig(node));
      const containerId = await startContainer(node, pod, containerConfig(polite));
      await node.runtime.containerStatus({ containerId });
      const seen = await passes(
        node,
        async () => {
          const beforeKib = residentKib(node.pid);
          const begun = performance.now();
          engine.freeze();
          try {
            await until(async () => !(await engineReady(node)), 13_000, "NotReady within 10 s");
            while (performance.now() - begun < freezeSeconds * 1000) {
              await Promise.allSettled([
                node.runtime.listContainers({}),
                node.runtime.execSync({ containerId, cmd: ["true"], timeout: 1n }),
                node.runtime.runPodSandbox({ config: hostSandboxConfig(node) }),
              ]);
              await sleep(50);
            }
            expect(node.proxy.connections).to.be.below(80);
            expect(residentKib(node.pid) - beforeKib, "KiB more").to.be.below(40_000);
            const late = await rpcFailure(
              node.runtime.runPodSandbox({ config: hostSandboxConfig(node) }),
            );
            expect(late.code).to.equal("UNAVAILABLE");
          } finally {
            engine.thaw();
          }
          await until(() => engineReady(node), 10_000, "ready within 10 s");
        },
        { mayAnswer: ["UNAVAILABLE"] },
      );
      // For 30 s reads are served from memory.
      expect(seen.codes.OK ?? 0).to.be.greaterThan(100);
    });
  });
}
