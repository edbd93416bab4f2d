import { existsSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { withLaneRuntime } from "../support/lane-runtime.ts";
import { removeImagesOf } from "../support/images.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  containerConfig,
  createContainer,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import { startRegistry } from "../support/registry.ts";
import type { TestRegistry } from "../support/registry.ts";

interface Call {
  rpc: string;
  code: string;
  steps: { kind: string; name: string }[];
}

/**
 * Docker requests and processes of each RPC on its success path, equal to what a runtime on Docker
 * cannot do without. The trace has what each call did itself; the proxy has everything, the index's
 * own inspects and lists too, which are what may be there beyond the calls'.
 */
describe("Docker requests per RPC", () => {
  let node: TestNode;
  let registry: TestRegistry;
  let traceFile: string;
  before(async () => {
    traceFile = join(await mkdtemp(join(tmpdir(), "dockline-trace-")), "trace");
    [node, registry] = await Promise.all([
      startNode({ args: [`--trace-file=${traceFile}`] }),
      startRegistry(),
    ]);
    // The pause image and whatever else the first pod brings.
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
    await registry.push("floor/image", ["1", "2", "3"], { files: [{ path: "x", content: "x" }] });
  });
  after(async () => {
    await removeImagesOf(node, registry.host);
    await registry.close();
    await node.close();
    rmSync(dirname(traceFile), { recursive: true });
  });
  leavesNothing(() => node);

  /** Runs one call and gives back the steps of its trace, and what else the proxy saw meanwhile. */
  async function stepsOf<T>(
    rpc: string,
    call: () => Promise<T>,
  ): Promise<{ docker: string[]; forks: string[]; answer: T }> {
    // The last call's own aftermath (an inspect of what it changed) is not this one's.
    await settled();
    const before = traced().length;
    node.proxy.reset();
    const answer = await call();
    let mine: Call | undefined;
    for (let waitedMs = 0; mine === undefined; waitedMs += 10) {
      if (waitedMs > 5000) throw new Error(`${rpc} is not in the trace`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      mine = traced()
        .slice(before)
        .find((line) => line.rpc === rpc);
    }
    expect(mine.code).to.equal("OK");
    const docker = named(mine, "docker");
    const forks = [...named(mine, "cni"), ...named(mine, "process")];
    // No other request is made in secret: each one on the wire belongs to the call, to the index, or to the
    // size of containerd's store, which is read in the background after images were added or removed.
    const own = node.proxy.requests.map(({ method, route }) => `${method} ${route}`);
    for (const name of docker) {
      expect(own, `${rpc} traced ${name}`).to.include(name);
      own.splice(own.indexOf(name), 1);
    }
    for (const name of own) {
      expect(name, `${rpc} did it besides`).to.match(
        /^GET \/(containers\/(json|\{id\}\/json)|images\/(json|\{name\}\/json)|system\/df|_ping)$/,
      );
    }
    return { docker, forks, answer };
  }

  const named = (call: Call, kind: string): string[] =>
    call.steps.filter((step) => step.kind === kind).map(({ name }) => name);
  const traced = (): Call[] =>
    existsSync(traceFile)
      ? readFileSync(traceFile, "utf8")
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => JSON.parse(line) as Call)
      : [];
  /** No request for a while: the index has seen what there is to see. */
  async function settled(): Promise<void> {
    const quietMs = 600;
    for (;;) {
      const last = Math.max(
        0,
        ...node.proxy.requests
          .filter(({ route }) => !/events|_ping/.test(route))
          .map(({ startedAt }) => startedAt),
      );
      const restMs = last + quietMs - performance.now();
      if (restMs <= 0) return;
      await new Promise((resolve) => setTimeout(resolve, restMs));
    }
  }

  const create = "POST /containers/create";
  const inspect = "GET /containers/{id}/json";
  const remove = "DELETE /containers/{id}";
  const kill = "POST /containers/{id}/kill";

  it("of a pod with CNI, from RunPodSandbox to RemovePodSandbox", async () => {
    const { runtime } = node;
    // The first one shows what the engine does to a namespace that it is given.
    if (withLaneRuntime) await removePod(node, await runPod(node));
    const config = sandboxConfig(node);
    const run = await stepsOf("RunPodSandbox", () => runtime.runPodSandbox({ config }));
    expect(run.docker).to.deep.equal([create, "POST /containers/{id}/start", inspect]);
    // One chain: bridge, which calls host-local by itself, and portmap where it is configured.
    // Where Dockline makes the namespace, dockline-oci does it.
    const netns = withLaneRuntime ? ["netns"] : [];
    expect(run.forks.filter((name) => name === "netns")).to.deep.equal(netns);
    const chain = run.forks.filter((name) => name !== "netns");
    expect(
      chain.every((name) => / ADD$/.test(name)),
      chain.join(),
    ).to.equal(true);
    expect(chain).to.have.length.within(1, 3);
    const { podSandboxId } = run.answer;
    const pod = { podSandboxId, sandbox: config };

    const created = await stepsOf("CreateContainer", () =>
      createContainer(node, pod, containerConfig("sleep 1000")),
    );
    expect(created).to.deep.include({ docker: [create], forks: [] });
    const containerId = created.answer;
    const started = await stepsOf("StartContainer", () => runtime.startContainer({ containerId }));
    expect(started).to.deep.include({ docker: ["POST /containers/{id}/start"], forks: [] });

    const cmd = ["true"];
    const exec = await stepsOf("ExecSync", () => runtime.execSync({ containerId, cmd }));
    expect(exec).to.deep.include({
      docker: ["POST /containers/{id}/exec", "POST /exec/{id}/start"],
      forks: [],
    });
    const linux = { cpuShares: 512n };
    const updated = await stepsOf("UpdateContainerResources", () =>
      runtime.updateContainerResources({ containerId, linux }),
    );
    expect(updated).to.deep.include({ docker: ["POST /containers/{id}/update"], forks: [] });

    const reads: Record<string, () => Promise<unknown>> = {
      Version: () => runtime.version({}),
      Status: () => runtime.status({ verbose: true }),
      RuntimeConfig: () => runtime.runtimeConfig({}),
      ListPodSandbox: () => runtime.listPodSandbox({}),
      PodSandboxStatus: () => runtime.podSandboxStatus({ podSandboxId, verbose: true }),
      ListContainers: () => runtime.listContainers({}),
      ContainerStatus: () => runtime.containerStatus({ containerId, verbose: true }),
      ContainerStats: () => runtime.containerStats({ containerId }),
      ListContainerStats: () => runtime.listContainerStats({}),
      PodSandboxStats: () => runtime.podSandboxStats({ podSandboxId }),
      ListPodSandboxStats: () => runtime.listPodSandboxStats({}),
      ListImages: () => node.images.listImages({}),
      ImageStatus: () => node.images.imageStatus({ image: { image: "dockline.test/busybox:1" } }),
      ReopenContainerLog: () => runtime.reopenContainerLog({ containerId }),
      Exec: () => runtime.exec({ containerId, cmd, stdout: true }),
      Attach: () => runtime.attach({ containerId, stdout: true }),
      PortForward: () => runtime.portForward({ podSandboxId, port: [80] }),
    };
    for (const [rpc, call] of Object.entries(reads)) {
      const { docker, forks } = await stepsOf(rpc, call);
      expect([...docker, ...forks], rpc).to.deep.equal([]);
      expect(node.proxy.count(/json/), `${rpc} on the wire`).to.be.at.most(1);
    }

    const stopped = await stepsOf("StopContainer", () => runtime.stopContainer({ containerId }));
    expect(stopped).to.deep.include({ docker: ["POST /containers/{id}/stop"], forks: [] });
    const removed = await stepsOf("RemoveContainer", () =>
      runtime.removeContainer({ containerId }),
    );
    expect(removed).to.deep.include({ docker: [remove], forks: [] });

    for (const name of ["one", "two"]) {
      await startContainer(node, pod, containerConfig("sleep 1000", { metadata: { name } }));
    }
    const podStopped = await stepsOf("StopPodSandbox", () =>
      runtime.stopPodSandbox({ podSandboxId }),
    );
    expect(podStopped.docker).to.deep.equal([kill, kill, kill]);
    expect(
      podStopped.forks.every((name) => / DEL$/.test(name) || netns.includes(name)),
      podStopped.forks.join(),
    ).to.equal(true);
    expect(podStopped.forks).to.have.length(run.forks.length);
    const again = await stepsOf("StopPodSandbox", () => runtime.stopPodSandbox({ podSandboxId }));
    expect([...again.docker, ...again.forks]).to.deep.equal([]);
    const podRemoved = await stepsOf("RemovePodSandbox", () =>
      runtime.removePodSandbox({ podSandboxId }),
    );
    expect(podRemoved).to.deep.include({ docker: [remove, remove, remove], forks: [] });
  });

  it("of a pod in the host's network", async () => {
    const config = hostSandboxConfig(node);
    const run = await stepsOf("RunPodSandbox", () => node.runtime.runPodSandbox({ config }));
    expect(run.docker.slice(0, 2)).to.deep.equal([create, "POST /containers/{id}/start"]);
    // The third is an inspect, where Docker's resolv.conf is not the node's own word for word.
    expect(run.docker.slice(2)).to.deep.equal(
      run.docker.length > 2 ? ["GET /containers/{id}/json"] : [],
    );
    expect(run.forks).to.deep.equal([]);
    const { podSandboxId } = run.answer;
    const stopped = await stepsOf("StopPodSandbox", () =>
      node.runtime.stopPodSandbox({ podSandboxId }),
    );
    expect(stopped).to.deep.include({ docker: [kill], forks: [] });
    const removed = await stepsOf("RemovePodSandbox", () =>
      node.runtime.removePodSandbox({ podSandboxId }),
    );
    expect(removed).to.deep.include({ docker: [remove], forks: [] });
  });

  it("of a pod in the host's network with a DNS config", async () => {
    const config = hostSandboxConfig(node, { dnsConfig: { servers: ["192.0.2.53"] } });
    const run = await stepsOf("RunPodSandbox", () => node.runtime.runPodSandbox({ config }));
    const start = "POST /containers/{id}/start";
    expect(run.docker).to.deep.equal([create, start, "GET /containers/{id}/json"]);
    await node.runtime.removePodSandbox({ podSandboxId: run.answer.podSandboxId });
  });

  it("of what is not there", async () => {
    const id = "f".repeat(64);
    const nothing: Record<string, () => Promise<unknown>> = {
      StopContainer: () => node.runtime.stopContainer({ containerId: id }),
      RemoveContainer: () => node.runtime.removeContainer({ containerId: id }),
      StopPodSandbox: () => node.runtime.stopPodSandbox({ podSandboxId: id }),
      RemovePodSandbox: () => node.runtime.removePodSandbox({ podSandboxId: id }),
    };
    for (const [rpc, call] of Object.entries(nothing)) {
      const { docker, forks } = await stepsOf(rpc, call);
      expect(docker.length, `${rpc}: ${docker.join()}`).to.be.at.most(1);
      expect(forks).to.deep.equal([]);
    }
  });

  it("of images", async () => {
    const image = { image: `${registry.host}/floor/image:1` };
    const pulled = await stepsOf("PullImage", () => node.images.pullImage({ image }));
    expect(pulled).to.deep.include({
      docker: ["POST /images/create", "GET /images/{name}/json"],
      forks: [],
    });
    const removed = await stepsOf("RemoveImage", () => node.images.removeImage({ image }));
    // A tag and its digest: at most as many.
    expect(removed.docker).to.deep.equal(["DELETE /images/{name}"]);
    for (const tag of ["1", "2", "3"]) {
      await node.images.pullImage({ image: { image: `${registry.host}/floor/image:${tag}` } });
    }
    const { docker } = await stepsOf("RemoveImage", () => node.images.removeImage({ image }));
    // Three tags and a digest: at most four.
    expect(docker.length, docker.join()).to.be.at.most(4);
    const fsInfo = await stepsOf("ImageFsInfo", () => node.images.imageFsInfo({}));
    expect(fsInfo.docker).to.deep.equal([]);
  });

  it("of an idle node with a hundred containers: at most one in two seconds", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    for (let batch = 0; batch < 100; batch += 10) {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          createContainer(
            node,
            pod,
            containerConfig("true", { metadata: { name: `c${batch + n}` }, logPath: "" }),
          ),
        ),
      );
    }
    // Every one of them is looked at once after its creation.
    await settled();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await settled();
    node.proxy.reset();
    await new Promise((resolve) => setTimeout(resolve, 20_000));
    const routes = node.proxy.requests.map(({ method, route }) => `${method} ${route}`);
    expect(routes.length, routes.join()).to.be.at.most(10);
    const listed = await node.runtime.listContainers({
      filter: { podSandboxId: pod.podSandboxId },
    });
    expect(listed.containers).to.have.length(100);
    await removePod(node, pod);
  });
});
