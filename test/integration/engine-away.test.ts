import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { status as GrpcCode } from "@grpc/grpc-js";
import { ContainerState, PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { startFakeEngine } from "../support/fake-engine.ts";
import { failure } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  startContainer,
} from "../support/pods.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { until } from "../support/until.ts";

const ready = async (node: TestNode): Promise<boolean> => {
  const { status } = await node.runtime.status({}, { timeoutMs: 5000 });
  return status?.conditions.find(({ type }) => type === "RuntimeReady")?.status === true;
};

/** A call that must not wait for anything. */
async function atOnce<T>(call: Promise<T>, what = "", limitMs = 5000): Promise<T> {
  const begun = performance.now();
  try {
    return await call;
  } finally {
    expect(performance.now() - begun, what).to.be.below(limitMs);
  }
}

describe("an engine that is not there yet", () => {
  it("leaves Dockline serving, NotReady, until it comes, and is queried again when it is exchanged", async function () {
    this.timeout(120_000);
    const folder = await mkdtemp(join(tmpdir(), "dockline-away-"));
    const upstream = join(folder, "docker.sock");
    const node = await startNode({ withoutNetwork: true, dontWait: true, upstream });
    let engine: Awaited<ReturnType<typeof startFakeEngine>> | undefined;
    try {
      // Where there never was a contact there is no version to tell: after 10 s, not at once and not never.
      const begun = performance.now();
      const unknown = await failure(node.runtime.version({}));
      expect(unknown.code).to.equal(GrpcCode.UNAVAILABLE);
      expect(unknown.details).to.match(/Docker has not answered yet/);
      expect(performance.now() - begun).to.be.within(9_000, 15_000);
      const { status } = await atOnce(node.runtime.status({ verbose: true }));
      const condition = status?.conditions.find(({ type }) => type === "RuntimeReady");
      expect(condition).to.include({ status: false, reason: "DockerDaemonNotReady" });
      expect(condition?.message).to.not.equal("");
      const { imageFilesystems } = await atOnce(node.images.imageFsInfo({}));
      expect(imageFilesystems).to.have.length(1);
      const calls = [
        node.runtime.listContainers({}),
        node.runtime.listPodSandbox({}),
        node.runtime.runPodSandbox({ config: hostSandboxConfig(node) }),
        node.runtime.stopPodSandbox({ podSandboxId: "x" }),
        node.images.listImages({}),
        node.images.pullImage({ image: { image: "busybox" } }),
        node.images.removeImage({ image: { image: "busybox" } }),
      ];
      for (const error of await atOnce(Promise.all(calls.map(failure)))) {
        expect(error.code, error.details).to.equal(GrpcCode.UNAVAILABLE);
      }

      const waiting = node.runtime.version({});
      engine = await startFakeEngine({ listen: upstream });
      engine.docker.apiVersion = [1, 44];
      // One that came before the engine gets its answer as soon as there is one.
      expect(await atOnce(waiting)).to.include({ runtimeName: "docker" });
      await until(() => ready(node), 10_000);
      await until(async () => {
        return (await node.runtime.version({})).runtimeApiVersion === "1.44.0";
      });
      expect((await node.runtime.listContainers({})).containers).to.deep.equal([]);
      await node.runtime.runtimeConfig({});

      // Another engine in its place, older than the first.
      await engine.close();
      await until(async () => !(await ready(node)), 10_000);
      engine = await startFakeEngine({ listen: upstream });
      engine.docker.apiVersion = [1, 41];
      await until(() => ready(node), 10_000);
      await until(async () => {
        return (await node.runtime.version({})).runtimeApiVersion === "1.41.0";
      });
      expect((await node.images.listImages({})).images).to.deep.equal([]);

      // A restart without the engine: the version of the last contact, at once.
      const last = await node.runtime.version({});
      expect(await node.terminate()).to.equal(0);
      await engine.close();
      await node.start();
      expect(await atOnce(node.runtime.version({}))).to.deep.equal(last);
      expect((await atOnce(node.runtime.runtimeConfig({}))).linux).to.not.equal(undefined);
      writeFileSync(join(node.stateDir, "engine.json"), '{"v":1,"version":"29');
      await node.kill();
      await node.start();
      expect((await failure(node.runtime.version({}))).code).to.equal(GrpcCode.UNAVAILABLE);
      expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
      expect(await node.terminate()).to.equal(0);
    } finally {
      await node.close();
      await engine?.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("does not keep Dockline from ending", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dockline-away-"));
    const upstream = join(folder, "docker.sock");
    const node = await startNode({ withoutNetwork: true, dontWait: true, upstream });
    try {
      const begun = performance.now();
      expect(await node.terminate()).to.equal(0);
      expect(performance.now() - begun).to.be.below(5000);
    } finally {
      await node.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("an engine that fails", () => {
  let engine: PrivateEngine;
  let node: TestNode;
  before(async function () {
    this.timeout(120_000);
    engine = await startPrivateEngine();
    node = await startNode({
      withoutNetwork: true,
      upstream: engine.socketPath,
      args: ["--runtime-request-timeout=15s"],
    });
  });
  after(async function () {
    this.timeout(120_000);
    await node.close();
    await engine.remove();
  });
  afterEach(async () => {
    for (const { id } of (await node.runtime.listPodSandbox({})).items) {
      await removePod(node, { podSandboxId: id });
    }
  });

  const memoryKb = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1]);

  it("is reported within ten seconds when it is frozen, piles nothing up, and heals", async function () {
    this.timeout(120_000);
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    await node.runtime.containerStatus({ containerId });
    const before = memoryKb();
    engine.freeze();
    try {
      // Begun before anybody knows of it: it ends at its own budget, not at the caller's.
      const linux = { cpuShares: 4n };
      const early = failure(node.runtime.updateContainerResources({ containerId, linux }));
      // Ten seconds are promised; the rest is room for a busy machine.
      await until(async () => !(await ready(node)), 13_000);
      // The index holds for a while longer.
      const { containers } = await atOnce(node.runtime.listContainers({}));
      expect(containers.map(({ state }) => state)).to.deep.equal([
        ContainerState.CONTAINER_RUNNING,
      ]);
      await atOnce(node.runtime.containerStatus({ containerId }));
      const writes = [
        () => node.runtime.runPodSandbox({ config: hostSandboxConfig(node) }),
        () => createContainer(node, pod, containerConfig("true", { metadata: { name: "late" } })),
        () => node.runtime.execSync({ containerId, cmd: ["true"], timeout: 5n }),
        () => node.images.pullImage({ image: { image: "127.0.0.1:1/x:1" } }),
      ];
      for (const write of writes) {
        const error = await atOnce(failure(write()), write.toString());
        expect(error.code, `${write.toString()}: ${error.details}`).to.equal(GrpcCode.UNAVAILABLE);
      }
      // A kubelet that keeps asking.
      for (let round = 0; round < 200; round += 1) {
        await Promise.allSettled([
          node.runtime.listContainers({}),
          node.runtime.status({}),
          node.images.listImages({}),
          node.runtime.execSync({ containerId, cmd: ["true"], timeout: 1n }),
        ]);
      }
      expect(node.proxy.connections).to.be.below(80);
      expect(memoryKb() - before).to.be.below(60_000);
      expect((await early).code).to.be.oneOf([GrpcCode.UNAVAILABLE, GrpcCode.DEADLINE_EXCEEDED]);
    } finally {
      engine.thaw();
    }
    const begun = performance.now();
    await until(() => ready(node), 10_000);
    expect(performance.now() - begun).to.be.below(10_000);
    await createContainer(node, pod, containerConfig("true", { metadata: { name: "after" } }));
  });

  it("answers UNAVAILABLE for reads when it has been away for long", async function () {
    this.timeout(120_000);
    await runPod(node, hostSandboxConfig(node));
    engine.freeze();
    try {
      await until(async () => !(await ready(node)), 10_000);
      await until(async () => {
        const error = await atOnce(
          node.runtime.listContainers({}).then(
            () => undefined,
            (reason: unknown) => reason as { code: number },
          ),
        );
        return error?.code === GrpcCode.UNAVAILABLE;
      }, 45_000);
      const error = await failure(node.images.listImages({}));
      expect(error.code).to.equal(GrpcCode.UNAVAILABLE);
    } finally {
      engine.thaw();
    }
    await until(() => ready(node), 10_000);
    await until(async () => (await node.runtime.listPodSandbox({})).items.length === 1, 10_000);
  });

  it("is followed through its death and restart: what it killed is reported as exited", async function () {
    this.timeout(120_000);
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 1000"));
    await engine.kill();
    await until(async () => !(await ready(node)), 10_000);
    const error = await atOnce(
      failure(node.runtime.runPodSandbox({ config: hostSandboxConfig(node) })),
    );
    expect(error.code).to.equal(GrpcCode.UNAVAILABLE);
    await engine.start();
    await until(() => ready(node), 10_000);
    await until(async () => {
      const { status } = await node.runtime.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED;
    }, 15_000);
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
    expect(status?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(node.log()).to.not.match(/unhandled rejection|uncaught exception/);
  });
});
