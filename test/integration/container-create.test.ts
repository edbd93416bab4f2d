import { expect } from "chai";
import { ContainerState } from "../../src/gen/runtime/v1/api_pb.js";
import { expectError } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removeAllPods,
  runPod,
  startContainer,
} from "../support/pods.ts";
import type { ContainerInit, RunningPod } from "../support/pods.ts";

const { CONTAINER_CREATED, CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;

describe("making a container", () => {
  let node: TestNode;
  let pod: RunningPod;
  let start: NodeState;
  const numbered = numberedConfig("k");
  const config = (line = "sleep 1000", fields: ContainerInit = {}): ContainerInit =>
    numbered(line, fields);
  const ids = async () =>
    (await node.runtime.listContainers({})).containers.map(({ id }) => id).sort();
  const stateOf = async (containerId: string) =>
    (await node.runtime.containerStatus({ containerId })).status?.state;

  before(async () => {
    node = await startNode({ withoutNetwork: true });
  });
  after(async () => {
    await node.close();
  });
  beforeEach(async () => {
    start = nodeState(node);
    pod = await runPod(node, hostSandboxConfig(node));
  });
  afterEach(async () => {
    node.proxy.faults.clear();
    await removeAllPods(node);
    await expectNothingLeft(node, start);
  });

  it("twice with the same request gives the same container", async () => {
    const one = config();
    const first = await createContainer(node, pod, one);
    expect(await createContainer(node, pod, one)).to.equal(first);
    await node.runtime.startContainer({ containerId: first });
    expect(await createContainer(node, pod, one)).to.equal(first);
    expect(await ids()).to.deep.equal([first]);
  });

  it("twenty times at once makes one", async () => {
    const one = config();
    const made = await Promise.all(
      Array.from({ length: 20 }, () => createContainer(node, pod, one)),
    );
    expect(new Set(made).size).to.equal(1);
    expect(await ids()).to.deep.equal([made[0]]);
  });

  it("with another request under a name that runs is refused; under a dead one it replaces", async () => {
    const one = config();
    const first = await startContainer(node, pod, one);
    const other = { ...one, args: ["sleep 999"] };
    await expectError(createContainer(node, pod, other), "ALREADY_EXISTS", new RegExp(first));
    await node.runtime.stopContainer({ containerId: first, timeout: 0n });
    const second = await createContainer(node, pod, other);
    expect(second).to.not.equal(first);
    expect(await ids()).to.deep.equal([second]);
    const third = await createContainer(node, pod, {
      ...one,
      metadata: { ...one.metadata, attempt: 1 },
    });
    expect(await ids()).to.deep.equal([second, third].sort());
  });

  it("survives a lost answer of the engine, at each step", async () => {
    const { runtime, proxy } = node;
    const one = config("trap '' TERM; sleep 1000");
    const cut = (method: string, route: RegExp) =>
      proxy.faults.add({ match: { method, route }, action: "cutAfter", times: 1 });

    const made = cut("POST", /^\/containers\/create$/);
    const containerId = await createContainer(node, pod, one);
    expect(made.hits).to.equal(1);
    expect(await ids()).to.deep.equal([containerId]);
    expect(await stateOf(containerId)).to.equal(CONTAINER_CREATED);

    const started = cut("POST", /\/start$/);
    await runtime.startContainer({ containerId });
    expect(started.hits).to.equal(1);
    expect(await stateOf(containerId)).to.equal(CONTAINER_RUNNING);

    const stopped = cut("POST", /\/stop$/);
    await runtime.stopContainer({ containerId, timeout: 0n });
    expect(stopped.hits).to.equal(1);
    expect(await stateOf(containerId)).to.equal(CONTAINER_EXITED);

    const removed = cut("DELETE", /^\/containers\/\{id\}$/);
    try {
      await runtime.removeContainer({ containerId });
    } catch {
      await runtime.removeContainer({ containerId });
    }
    expect(removed.hits).to.equal(1);
    expect(await ids()).to.deep.equal([]);
  });

  it("is refused clearly when the engine never heard of it, and works when asked again", async () => {
    const { runtime, proxy } = node;
    const one = config();
    const cut = (method: string, route: RegExp) =>
      proxy.faults.add({ match: { method, route }, action: "cutBefore", times: 1 });
    cut("POST", /^\/containers\/create$/);
    await expectError(createContainer(node, pod, one), "UNAVAILABLE", /create container/);
    const containerId = await createContainer(node, pod, one);
    cut("POST", /\/start$/);
    await expectError(runtime.startContainer({ containerId }), "UNAVAILABLE", /start/);
    expect(await stateOf(containerId)).to.equal(CONTAINER_CREATED);
    await runtime.startContainer({ containerId });
    expect(await stateOf(containerId)).to.equal(CONTAINER_RUNNING);
  });

  it("under a caller that has gone leaves one container at most, which a retry gets", async () => {
    node.proxy.faults.add({
      match: { method: "POST", route: /^\/containers\/create$/ },
      action: "delay",
      delayMs: 700,
      times: 1,
    });
    const one = config();
    const controller = new AbortController();
    const call = node.runtime.createContainer(
      { podSandboxId: pod.podSandboxId, config: one, sandboxConfig: pod.sandbox },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 200);
    await expectError(call, "CANCELLED", /.*/);
    const containerId = await createContainer(node, pod, one);
    expect(await ids()).to.deep.equal([containerId]);
  });

  it("is refused in a sandbox that is stopped, gone or unknown", async () => {
    await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    await expectError(createContainer(node, pod, config()), "FAILED_PRECONDITION", /not ready/);
    const nowhere = { ...pod, podSandboxId: "f".repeat(64) };
    await expectError(createContainer(node, nowhere, config()), "NOT_FOUND", /no pod sandbox/);
    await expectError(
      createContainer(node, { ...pod, podSandboxId: "" }, config()),
      "INVALID_ARGUMENT",
      /empty/,
    );
  });

  it("is refused without an image, a name or a configuration", async () => {
    const { runtime } = node;
    const { podSandboxId, sandbox } = pod;
    await expectError(
      createContainer(node, pod, config("true", { image: { image: "dockline.test/absent:1" } })),
      "NOT_FOUND",
      /absent/,
    );
    for (const image of ["", "UPPER CASE", "../../etc", "a\u0000b", "-x"]) {
      await expectError(
        createContainer(node, pod, config("true", { image: { image } })),
        "INVALID_ARGUMENT",
        /image|reference/,
      );
    }
    for (const name of [
      "",
      "a_b",
      "../x",
      "a/b",
      "a b",
      "ü",
      "POD",
      "x".repeat(300),
      "a\nb",
      "a\u0000",
    ]) {
      await expectError(
        createContainer(node, pod, { ...config(), metadata: { name, attempt: 0 } }),
        "INVALID_ARGUMENT",
        /metadata.name/,
      );
    }
    await expectError(
      runtime.createContainer({ podSandboxId, sandboxConfig: sandbox }),
      "INVALID_ARGUMENT",
      /config.metadata/,
    );
    await expectError(
      runtime.createContainer({ podSandboxId, config: config() }),
      "INVALID_ARGUMENT",
      /sandbox_config/,
    );
    for (const text of ["a\u0000b"]) {
      await expectError(createContainer(node, pod, config(text)), "INVALID_ARGUMENT", /args/);
    }
    expect(await ids()).to.deep.equal([]);
  });

  it("is found by its id's beginning and by nothing else", async () => {
    const { runtime } = node;
    const containerId = await createContainer(node, pod, config());
    const { status } = await runtime.containerStatus({ containerId: containerId.slice(0, 10) });
    expect(status?.id).to.equal(containerId);
    for (const wrong of [
      containerId.toUpperCase(),
      `${containerId}0`,
      "k1",
      pod.podSandboxId,
      "/",
    ]) {
      await expectError(
        runtime.containerStatus({ containerId: wrong }),
        "NOT_FOUND",
        /no container/,
      );
    }
    const listed = async (filter: object) =>
      (await runtime.listContainers({ filter })).containers.map(({ id }) => id);
    expect(await listed({ id: containerId.slice(0, 10) })).to.deep.equal([containerId]);
    expect(await listed({ id: "0".repeat(64) })).to.deep.equal([]);
    expect(await listed({ podSandboxId: pod.podSandboxId })).to.deep.equal([containerId]);
    expect(await listed({ state: { state: CONTAINER_RUNNING } })).to.deep.equal([]);
    expect(await listed({ labelSelector: { "io.kubernetes.container.name": "x" } })).to.deep.equal(
      [],
    );
  });
});
