import { expect } from "chai";
import {
  ContainerEventType,
  ContainerState,
  PodSandboxState,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerEventResponse } from "../../src/gen/runtime/v1/api_pb.js";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  removePod,
  runPod,
} from "../support/pods.ts";
import { until } from "../support/until.ts";

/** A reader of GetContainerEvents that keeps all it gets. */
interface Reader {
  readonly events: ContainerEventResponse[];
  /** What the stream ended with. */
  readonly ended: Promise<unknown>;
  stop(): void;
}

function read(node: TestNode): Reader {
  const abort = new AbortController();
  const events: ContainerEventResponse[] = [];
  const follow = async (): Promise<undefined> => {
    for await (const event of node.runtime.getContainerEvents({}, { signal: abort.signal }))
      events.push(event);
  };
  return {
    events,
    ended: follow().catch((error: unknown) => error),
    stop: () => abort.abort(),
  };
}

const typeOf = ({ containerEventType }: ContainerEventResponse): string =>
  ContainerEventType[containerEventType].replace(/^CONTAINER_|_EVENT$/g, "");

describe("GetContainerEvents", () => {
  let node: TestNode;
  const readers: Reader[] = [];

  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });
  afterEach(async () => {
    for (const reader of readers.splice(0)) {
      reader.stop();
      await reader.ended;
    }
    await removeAllPods(node);
  });

  /** Its subscription is in force when an event of a pod made for it arrives. */
  async function subscribed(): Promise<Reader> {
    const reader = read(node);
    readers.push(reader);
    await new Promise((resolve) => setTimeout(resolve, 300));
    return reader;
  }

  it("tells a pod's whole life in order, with statuses and tombstones", async () => {
    const { runtime } = node;
    const { events } = await subscribed();
    const pod = await runPod(node, hostSandboxConfig(node));
    const { podSandboxId } = pod;
    const line = "trap 'exit 4' TERM; while :; do sleep 0.1; done";
    const containerId = await createContainer(node, pod, containerConfig(line));
    await runtime.startContainer({ containerId });
    const typesOf = (id: string): string[] =>
      events.filter((event) => event.containerId === id).map(typeOf);
    await until(() => typesOf(containerId).includes("STARTED"));
    await runtime.stopContainer({ containerId, timeout: 5n });
    await until(() => typesOf(containerId).includes("STOPPED"));
    await runtime.removeContainer({ containerId });
    await removePod(node, pod);
    await until(() => typesOf(podSandboxId).includes("DELETED"));

    const life = ["CREATED", "STARTED", "STOPPED", "DELETED"];
    expect(typesOf(containerId)).to.deep.equal(life);
    expect(typesOf(podSandboxId)).to.deep.equal(life);
    for (const event of events) {
      // The kubelet drops what has no sandbox metadata, or no sandbox at all.
      expect(event.podSandboxStatus?.metadata?.uid).to.equal(pod.sandbox.metadata?.uid);
      expect(event.podSandboxStatus?.id).to.equal(podSandboxId);
      expect(event.createdAt > 0n).to.equal(true);
    }
    const times = events.map(({ createdAt }) => createdAt);
    expect(times, "in the order of time").to.deep.equal(
      [...times].sort((a, b) => (a < b ? -1 : 1)),
    );

    const told = (id: string, type: string): ContainerEventResponse => {
      const found = events.find((event) => event.containerId === id && typeOf(event) === type);
      if (found === undefined) throw new Error(`no ${type} of ${id}`);
      return found;
    };
    expect(told(podSandboxId, "STARTED").podSandboxStatus?.state).to.equal(
      PodSandboxState.SANDBOX_READY,
    );
    expect(told(containerId, "CREATED").containersStatuses.map(({ id }) => id)).to.deep.equal([
      containerId,
    ]);
    const [running] = told(containerId, "STARTED").containersStatuses;
    expect(running?.state).to.equal(ContainerState.CONTAINER_RUNNING);
    const [stopped] = told(containerId, "STOPPED").containersStatuses;
    expect(stopped).to.include({ state: ContainerState.CONTAINER_EXITED, exitCode: 4 });
    // The engine's own time, which an inspect tells; its event comes a little later.
    expect(stopped!.finishedAt > stopped!.startedAt).to.equal(true);
    expect(stopped!.finishedAt <= told(containerId, "STOPPED").createdAt).to.equal(true);
    expect(told(containerId, "DELETED").containersStatuses).to.deep.equal([]);
    const tombstone = told(podSandboxId, "DELETED").podSandboxStatus;
    expect(tombstone?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(tombstone?.labels).to.deep.equal(pod.sandbox.labels);
  });

  it("tells what others did to a container, and what a dead engine's stream could not", async () => {
    const { docker, proxy } = node;
    const pod = await runPod(node, hostSandboxConfig(node));
    const id = await createContainer(node, pod, containerConfig("sleep 1000"));
    await node.runtime.startContainer({ containerId: id });
    await node.runtime.containerStatus({ containerId: id });
    const { events } = await subscribed();
    const typesSeen = (): string[] =>
      events.filter((event) => event.containerId === id).map(typeOf);
    // The next subscription is silent; the one in force ends with its next event.
    proxy.faults.add({ match: { route: /^\/events$/ }, action: "stall" });
    await docker.killContainer(id, "SIGKILL");
    await until(() => typesSeen().includes("STOPPED"), 12_000);
    proxy.faults.clear();
    await docker.removeContainer(id);
    await until(() => typesSeen().includes("DELETED"), 12_000);
    expect(typesSeen()).to.deep.equal(["STOPPED", "DELETED"]);
    const end = events.find((event) => typeOf(event) === "STOPPED");
    expect(end?.containersStatuses[0]).to.include({ exitCode: 137 });
  });

  it("tells every reader the same, and lets none that does not read delay the others", async () => {
    const slow = node.runtime.getContainerEvents({})[Symbol.asyncIterator]();
    const first = slow.next();
    const readersOfAll = [await subscribed(), await subscribed()];
    const lives = 12;
    const pod = await runPod(node, hostSandboxConfig(node));
    for (let at = 0; at < lives; at += 1) {
      const name = `c${at}`;
      const id = await createContainer(
        node,
        pod,
        containerConfig("exit 0", { metadata: { name } }),
      );
      await node.runtime.startContainer({ containerId: id });
    }
    await until(() =>
      readersOfAll.every(
        ({ events }) => events.filter((e) => typeOf(e) === "STOPPED").length === lives,
      ),
    );
    const [one, other] = readersOfAll.map(({ events }) =>
      events.map((event) => `${event.containerId} ${typeOf(event)}`),
    );
    expect(one).to.deep.equal(other);
    expect((await first).done).to.equal(false);
    await slow.return?.();
  });

  it("goes on after the engine's stream broke", async () => {
    const { events } = await subscribed();
    const hit = node.proxy.faults.add({
      match: { route: /^\/events$/ },
      action: "truncate",
      bytes: 1500,
    });
    await node.kill();
    await readers[0]?.ended;
    readers.splice(0);
    expect(events).to.deep.equal([]);
    await node.start();
    const again = await subscribed();
    for (let round = 0; round < 3; round += 1)
      await removePod(node, await runPod(node, hostSandboxConfig(node)));
    await until(() => again.events.filter((event) => typeOf(event) === "DELETED").length === 3);
    node.proxy.faults.clear();
    expect(hit.hits).to.be.greaterThan(1);
    const life = ["CREATED", "STARTED", "STOPPED", "DELETED"];
    for (const id of new Set(again.events.map(({ containerId }) => containerId))) {
      const types = again.events.filter((event) => event.containerId === id).map(typeOf);
      expect(types).to.deep.equal(life);
    }
  });
});
