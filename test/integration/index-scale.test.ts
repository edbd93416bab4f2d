import { expect } from "chai";
import { toBinary } from "@bufbuild/protobuf";
import {
  ListContainersResponseSchema,
  ListImagesResponseSchema,
  ListPodSandboxResponseSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import { create } from "@bufbuild/protobuf";
import { expectStatusesAgree, listedByDockline, untilListsAgree } from "../support/agreement.ts";
import { atOnce } from "../support/at-once.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removeAllPods,
  runPod,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";

/** 500 and 100 in the long form. */
const createdTotal = Number(process.env["DOCKLINE_SCALE_CREATED"] ?? "190");
const runningTotal = Number(process.env["DOCKLINE_SCALE_RUNNING"] ?? "10");
const churnMs = Number(process.env["DOCKLINE_SCALE_CHURN_MS"] ?? "5000");
const idleMs = 15_000;

describe(`${createdTotal} created and ${runningTotal} running containers`, () => {
  let node: TestNode;
  let pod: RunningPod;
  let serial = 0;

  const add = (): Promise<string> =>
    createContainer(
      node,
      pod,
      containerConfig("sleep 1000", { metadata: { name: `c${(serial += 1)}` } }),
    );

  before(async function () {
    this.timeout(30_000 + (createdTotal + runningTotal) * 500);
    node = await startNode();
    pod = await runPod(node, hostSandboxConfig(node));
    await atOnce(4, createdTotal, add);
    await atOnce(4, runningTotal, async () => {
      await node.runtime.startContainer({ containerId: await add() });
    });
  });
  after(async function () {
    this.timeout(30_000 + (createdTotal + runningTotal) * 500);
    await removeAllPods(node);
    await node.close();
  });

  it("are listed as they are", async () => {
    const listed = await listedByDockline(node);
    expect(Object.keys(listed)).to.have.length(createdTotal + runningTotal + 1);
    await untilListsAgree(node);
  });

  it("cost at most 0.5 requests a second while nothing happens and a kubelet polls", async () => {
    // What the creates left to be inspected is over.
    for (let seen = -1; seen !== node.proxy.requests.length;) {
      seen = node.proxy.requests.length;
      await pause(1000);
    }
    node.proxy.reset();
    const began = performance.now();
    while (performance.now() - began < idleMs) {
      await node.runtime.listPodSandbox({});
      await node.runtime.listContainers({});
      await node.runtime.status({});
      await pause(500);
    }
    const perSecond = node.proxy.requests.length / ((performance.now() - began) / 1000);
    const seen = node.proxy.requests.map(({ method, route }) => `${method} ${route}`);
    expect(perSecond, seen.join(", ")).to.be.at.most(0.5);
  });

  it("come in streams as they come in lists", async () => {
    const { runtime, images } = node;
    const containers = create(ListContainersResponseSchema);
    for await (const chunk of runtime.streamContainers({}))
      containers.containers.push(...chunk.containers);
    const sandboxes = create(ListPodSandboxResponseSchema);
    for await (const chunk of runtime.streamPodSandboxes({}))
      sandboxes.items.push(...chunk.podSandboxes);
    const pictures = create(ListImagesResponseSchema);
    for await (const chunk of images.streamImages({})) pictures.images.push(...chunk.images);
    expect(containers.containers).to.have.length(createdTotal + runningTotal);
    expect(sandboxes.items).to.have.length(1);
    expect(pictures.images).to.not.be.empty;
    expect(toBinary(ListContainersResponseSchema, containers)).to.deep.equal(
      toBinary(ListContainersResponseSchema, await runtime.listContainers({})),
    );
    expect(toBinary(ListPodSandboxResponseSchema, sandboxes)).to.deep.equal(
      toBinary(ListPodSandboxResponseSchema, await runtime.listPodSandbox({})),
    );
    expect(toBinary(ListImagesResponseSchema, pictures)).to.deep.equal(
      toBinary(ListImagesResponseSchema, await images.listImages({})),
    );
    const filtered: string[] = [];
    const filter = { labelSelector: { "io.kubernetes.container.name": "c7" } };
    for await (const chunk of runtime.streamContainers({ filter }))
      filtered.push(...chunk.containers.map(({ metadata }) => metadata?.name ?? ""));
    expect(filtered).to.deep.equal(["c7"]);
  });

  it("are right under churn", async function () {
    this.timeout(60_000 + churnMs);
    const { runtime, docker } = node;
    const end = performance.now() + churnMs;
    const listedIds = async (): Promise<Set<string>> =>
      new Set((await runtime.listContainers({})).containers.map(({ id }) => id));
    const byRpc = async (): Promise<void> => {
      while (performance.now() < end) {
        const containerId = await add();
        expect((await listedIds()).has(containerId), "own create").to.equal(true);
        await runtime.startContainer({ containerId });
        await runtime.stopContainer({ containerId, timeout: 0n });
        await runtime.removeContainer({ containerId });
        expect((await listedIds()).has(containerId), "own remove").to.equal(false);
      }
    };
    const byOthers = async (): Promise<void> => {
      while (performance.now() < end) {
        const id = await add();
        await docker.startContainer(id);
        await docker.killContainer(id, "SIGKILL");
        if (serial % 2 === 0) await docker.removeContainer(id);
      }
    };
    await Promise.all([byRpc(), byRpc(), byOthers(), byOthers()]);
    await untilListsAgree(node);
    await expectStatusesAgree(node);
  });
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
