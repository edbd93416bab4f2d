import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { expectStatusesAgree, untilListsAgree } from "../support/agreement.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { exitCodeOf, until } from "../support/until.ts";

/** Starts in the flood; each comes with an end. `npm run soak` asks for more. */
const floodStarts = Number(process.env["DOCKLINE_FLOOD_STARTS"] ?? "100");
const events = /^\/events$/;
const inspect = /^\/containers\/\{id\}\/json$/;

describe("the index when the engine's events fail", () => {
  let node: TestNode;
  let pod: RunningPod;

  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });
  beforeEach(async () => {
    pod = await runPod(node, hostSandboxConfig(node));
  });
  afterEach(async () => {
    node.proxy.faults.clear();
    await removeAllPods(node);
  });

  const named = (name: string, line: string): Promise<string> =>
    createContainer(node, pod, containerConfig(line, { metadata: { name } }));

  /** The subscription in force is the one that the fault is to hit. */
  async function restartWith(fault: Parameters<TestNode["proxy"]["faults"]["add"]>[0]) {
    await node.kill();
    const hit = node.proxy.faults.add(fault);
    await node.start();
    expect(hit.hits).to.be.greaterThan(0);
    return hit;
  }

  /**
   * By another client of the engine, so that nothing but events and lists tells of it. Each container
   * lives once, as those of a kubelet do; a third of them runs on, some are removed.
   */
  async function changeBehindOurBack(lives: number): Promise<void> {
    const { docker } = node;
    const work = async (at: number): Promise<void> => {
      const id = await named(`c${at}`, at % 2 === 0 ? "sleep 1000" : "exit 3");
      await docker.startContainer(id);
      if (at % 2 === 1) await exitCodeOf(docker, id);
      else if (at % 3 !== 0) await docker.killContainer(id, "SIGKILL");
      if (at % 5 === 4) await docker.removeContainer(id);
    };
    for (let at = 0; at < lives; at += 4) {
      await Promise.all([0, 1, 2, 3].map((lane) => work(at + lane)));
    }
  }

  it("is right again within 10 s when the stream is cut again and again", async () => {
    const hit = await restartWith({ match: { route: events }, action: "truncate", bytes: 3000 });
    await changeBehindOurBack(12);
    await untilListsAgree(node);
    await expectStatusesAgree(node);
    expect(hit.hits, "subscribed again after a cut").to.be.greaterThan(1);
  });

  it("is right within 10 s of each change when the stream is open and silent", async () => {
    await restartWith({ match: { route: events }, action: "stall" });
    await changeBehindOurBack(8);
    await untilListsAgree(node);
    await expectStatusesAgree(node);
  });

  it("shows what its own RPCs did at once, stream or no stream", async () => {
    await restartWith({ match: { route: events }, action: "stall" });
    const { runtime } = node;
    const stateOf = async (id: string): Promise<ContainerState | undefined> => {
      const { containers } = await runtime.listContainers({ filter: { id } });
      const { status } = await runtime.containerStatus({ containerId: id }).catch(() => ({
        status: undefined,
      }));
      expect(containers[0]?.state, "list and status").to.equal(status?.state);
      return status?.state;
    };
    const containerId = await named("own", "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    expect(await stateOf(containerId)).to.equal(ContainerState.CONTAINER_CREATED);
    await runtime.startContainer({ containerId });
    expect(await stateOf(containerId)).to.equal(ContainerState.CONTAINER_RUNNING);
    await runtime.stopContainer({ containerId, timeout: 5n });
    expect(await stateOf(containerId)).to.equal(ContainerState.CONTAINER_EXITED);
    await runtime.removeContainer({ containerId });
    expect(await stateOf(containerId)).to.equal(undefined);
  });

  it("is right within 10 s when a tenth of the events is lost", async () => {
    await restartWith({ match: { route: events }, action: "drop", probability: 0.1 });
    await changeBehindOurBack(40);
    await untilListsAgree(node);
    await expectStatusesAgree(node);
  });

  it(`keeps up with ${floodStarts} starts and as many ends`, async function () {
    this.timeout(60_000 + floodStarts * 500);
    const ids = await Promise.all(Array.from({ length: 4 }, (_, at) => named(`f${at}`, "exit 0")));
    let left = floodStarts;
    let slowestMs = 0;
    const lane = async (id: string): Promise<void> => {
      while (left-- > 0) {
        await node.docker.startContainer(id);
        await exitCodeOf(node.docker, id);
      }
    };
    let done = false;
    const reader = (async () => {
      while (!done) {
        const began = performance.now();
        await node.runtime.listContainers({});
        slowestMs = Math.max(slowestMs, performance.now() - began);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    await Promise.all(ids.map(lane));
    done = true;
    await reader;
    await untilListsAgree(node);
    await expectStatusesAgree(node);
    expect(slowestMs, "slowest list, ms").to.be.lessThan(5000);
  });

  it("lets a hung inspect affect its own container only", async () => {
    const { docker, runtime, proxy } = node;
    const hung = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", { metadata: { name: "hung" } }),
    );
    const other = await startContainer(
      node,
      pod,
      containerConfig("sleep 1000", { metadata: { name: "other" } }),
    );
    await runtime.containerStatus({ containerId: hung });
    await runtime.containerStatus({ containerId: other });
    const hit = proxy.faults.add({
      match: { method: "GET", route: inspect },
      action: "hang",
      times: 1,
    });
    await docker.killContainer(hung, "SIGKILL");
    await until(() => hit.hits === 1, 10_000, "the inspect after the kill");

    await docker.killContainer(other, "SIGKILL");
    const timed = async <T>(call: Promise<T>): Promise<{ answer: T; ms: number }> => {
      const began = performance.now();
      return { answer: await call, ms: performance.now() - began };
    };
    const statusOfHung = timed(runtime.containerStatus({ containerId: hung }));
    // The engine may answer a kill before it tells of the end.
    await until(
      async () => {
        const { answer, ms } = await timed(runtime.containerStatus({ containerId: other }));
        expect(ms).to.be.lessThan(2000);
        if (answer.status?.state !== ContainerState.CONTAINER_EXITED) return false;
        expect(answer.status.exitCode).to.equal(137);
        return true;
      },
      2000,
      "the other's end",
    );
    for (let round = 0; round < 5; round += 1) {
      const list = await timed(runtime.listContainers({}));
      expect(list.ms).to.be.lessThan(1500);
      expect(list.answer.containers.map(({ state }) => state)).to.deep.equal([
        ContainerState.CONTAINER_EXITED,
        ContainerState.CONTAINER_EXITED,
      ]);
    }
    // The event told its code; the rest is what was known before.
    const { answer, ms } = await statusOfHung;
    expect(ms).to.be.lessThan(5000);
    expect(answer.status).to.include({ state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
    const again = await timed(runtime.containerStatus({ containerId: hung }));
    expect(again.ms, "the budget was used up").to.be.lessThan(1500);
    expect(proxy.count(/^GET \/containers\/\{id\}\/json$/)).to.be.greaterThan(1);
  });
});
