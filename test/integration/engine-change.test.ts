import { existsSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { logPathOf, logText, readCriLog, until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  removeAllPods,
  removePod,
  runPod,
  shell,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { isAlive } from "../support/shims.ts";

// The machine's own engine (20.10) and the current line's on the same folders, in turn, with pods
// that run on. Started by test/lanes/engine-change.

const older = "/usr/sbin/dockerd";
const newer = process.env["DOCKLINE_TEST_DOCKERD"];
const talker = 'trap "exit 0" TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done';

describe("an engine that is exchanged under running pods", function () {
  this.timeout(240_000);
  let engine: PrivateEngine;
  let node: TestNode;

  before(async function () {
    // With the containerd store the older engine would find none of the images.
    const graph = process.env["DOCKLINE_TEST_STORE"] === "driver";
    if (newer === undefined || !existsSync(older) || !graph) this.skip();
    engine = await startPrivateEngine(
      ["--storage-driver=overlay2"],
      { "live-restore": true },
      older,
    );
    node = await startNode({ upstream: engine.socketPath });
  });
  after(async () => {
    await (node as TestNode | undefined)?.close();
    await (engine as PrivateEngine | undefined)?.remove();
  });

  const pidOf = async (id: string): Promise<number> =>
    (await node.docker.inspectContainer(id)).State.Pid;
  const apiMinor = async (): Promise<number> => {
    const { runtimeApiVersion } = await node.runtime.version({});
    return Number(runtimeApiVersion.split(".")[1]);
  };
  const exchange = async (program: string, api: (minor: number) => boolean): Promise<void> => {
    await engine.stop();
    await engine.start(program);
    await until(
      "the other engine is known",
      async () => {
        const { status } = await node.runtime.status({});
        const ready = status?.conditions.find(({ type }) => type === "RuntimeReady")?.status;
        return ready === true && api(await apiMinor());
      },
      30_000,
    );
  };
  const run = async (name: string) => {
    const pod = await runPod(node);
    const config = containerConfig(talker, { metadata: { name } });
    const id = await startContainer(node, pod, config);
    return { pod, id, config, pids: await Promise.all([pod.podSandboxId, id].map(pidOf)) };
  };
  type Running = Awaited<ReturnType<typeof run>>;

  const expectRunning = async ({ pod, id, pids }: Running): Promise<void> => {
    const all = [pod.podSandboxId, id];
    expect(await Promise.all(all.map(pidOf))).to.deep.equal(pids);
    expect(pids.filter(isAlive)).to.deep.equal(pids);
    const { status } = await node.runtime.containerStatus({ containerId: id });
    expect(status?.state).to.equal(ContainerState.CONTAINER_RUNNING);
    const sandbox = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(sandbox.status?.state).to.equal(PodSandboxState.SANDBOX_READY);
    expect(sandbox.status?.network?.ip).to.match(/^\d+\./);
    expect(await shell(node, id, "echo hi")).to.equal("hi");
  };
  /** Every line of Docker's file once and in order, whichever engine ran meanwhile. */
  const expectWholeLog = async (pod: RunningPod, { id, config }: Running): Promise<void> => {
    await node.runtime.stopContainer({ containerId: id, timeout: 5n });
    expect((await untilExited(node, id)).exitCode).to.equal(0);
    const lines = logText(readCriLog(logPathOf(pod, config)))
      .trimEnd()
      .split("\n");
    // The last pod may have run for some seconds only.
    expect(lines.length).to.be.above(3);
    // A dockerd that ends may lose what it has read and not written; we lose nothing of its file.
    const { LogPath } = await node.docker.inspectContainer(id);
    const written = readFileSync(LogPath, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { log: string }).log.trimEnd());
    expect(lines).to.deep.equal(written);
  };

  it("is queried again each time; pods of both run on, with logs, exec, new members and removal", async () => {
    const first = await run("first");
    expect(await apiMinor()).to.equal(41);
    const images = (await node.images.listImages({})).images.map(({ id }) => id);

    await exchange(newer ?? "", (minor) => minor >= 52);
    await expectRunning(first);
    const afterwards = (await node.images.listImages({})).images.map(({ id }) => id);
    expect(afterwards).to.include.members(images);
    const member = containerConfig("sleep 1000", { metadata: { name: "later" } });
    const later = await startContainer(node, first.pod, member);
    expect(await shell(node, later, "echo hi")).to.equal("hi");
    const second = await run("second");

    await exchange(older, (minor) => minor === 41);
    await expectRunning(first);
    await expectRunning(second);
    expect(await shell(node, later, "echo hi")).to.equal("hi");
    const third = await run("third");
    await expectRunning(third);
    for (const one of [first, second, third]) {
      await expectWholeLog(one.pod, one);
      await removePod(node, one.pod);
      expect(one.pids.filter(isAlive)).to.deep.equal([]);
    }
    await removeAllPods(node);
    expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
  });
});
