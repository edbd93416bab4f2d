import { expect } from "chai";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rpcFailure } from "../support/rpc-failure.ts";
import { nriSocket, startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { refusal, TestPlugin } from "../support/nri-plugin.ts";
import type { TestPluginOptions } from "../support/nri-plugin.ts";
import { leavesNothing } from "../support/oracle.ts";
import {
  createContainer,
  hostSandboxConfig,
  numberedConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
  untilExited,
} from "../support/pods.ts";
import { isAlive } from "../support/shims.ts";
import { until } from "../support/until.ts";

const containerConfig = numberedConfig("n");

describe("NRI plugins", () => {
  let node: TestNode;
  const plugins: TestPlugin[] = [];
  before(async () => {
    node = await startNode();
  });
  after(async () => {
    await node.close();
  });
  afterEach(() => {
    for (const plugin of plugins.splice(0)) plugin.close();
  });
  leavesNothing(() => node);

  const connect = (options: Partial<TestPluginOptions> = {}): TestPlugin => {
    const plugin = new TestPlugin({ socket: nriSocket(node.folder), ...options });
    plugins.push(plugin);
    return plugin;
  };

  it("are informed of a pod's whole life, in order, with what the kubelet calls things", async () => {
    const plugin = await connect().join();
    expect(plugin.configured?.runtimeName).to.equal("dockline");
    expect(plugin.configured?.NRIVersion).to.equal("v0.12.5");
    const sandbox = sandboxConfig(node);
    const pod = await runPod(node, sandbox);
    const containerId = await createContainer(node, pod, containerConfig("sleep 600"));
    await node.runtime.startContainer({ containerId });
    await node.runtime.stopContainer({ containerId, timeout: 0n });
    await node.runtime.removeContainer({ containerId });
    await removePod(node, pod);
    const own = plugin.heard.filter((one) => one.pod?.id === pod.podSandboxId);
    expect(own.map(({ event }) => event)).to.deep.equal([
      "RunPodSandbox",
      "CreateContainer",
      "ValidateContainerAdjustment",
      "PostCreateContainer",
      "StartContainer",
      "PostStartContainer",
      "StopContainer",
      "RemoveContainer",
      "StopPodSandbox",
      "RemovePodSandbox",
    ]);
    const [run] = own;
    expect(run?.pod?.name).to.equal(sandbox.metadata?.name);
    expect(run?.pod?.namespace).to.equal("test");
    expect(run?.pod?.uid).to.equal(sandbox.metadata?.uid);
    expect(run?.pod?.ips).to.have.length(1);
    const network = (one = run) =>
      one?.pod?.linux?.namespaces.find(({ type }) => type === "network")?.path ?? "";
    expect(network()).to.match(/^\/.*netns\//);
    expect(network(own.find(({ event }) => event === "StopPodSandbox"))).to.equal(network());
    for (const one of own.slice(1, 8)) expect(one.container?.name, one.event).to.match(/^n\d+$/);
    expect(own[1]?.container?.args).to.deep.equal(["sh", "-c", "sleep 600"]);
    expect(own[5]?.container?.pid).to.be.greaterThan(0);
  });

  it("see nothing of a pod before they have agreed to it, and nobody else does either", async () => {
    let release: () => void = () => undefined;
    let asked: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const plugin = await connect({
      onEvent: async ({ event }) => {
        if (event !== "RunPodSandbox") return;
        asked();
        await new Promise<void>((resolve) => (release = resolve));
      },
    }).join();
    const config = sandboxConfig(node);
    const running = node.runtime.runPodSandbox({ config });
    await reached;
    const [heard] = plugin.of("RunPodSandbox");
    const id = heard?.pod?.id ?? "";
    expect((await node.runtime.listPodSandbox({})).items.map((one) => one.id)).to.not.include(id);
    const status = await rpcFailure(node.runtime.podSandboxStatus({ podSandboxId: id }));
    expect(status.code).to.equal("NOT_FOUND");
    const early = { podSandboxId: id, config: containerConfig("true"), sandboxConfig: config };
    expect((await rpcFailure(node.runtime.createContainer(early))).code).to.equal(
      "FAILED_PRECONDITION",
    );
    release();
    const { podSandboxId } = await running;
    expect((await node.runtime.podSandboxStatus({ podSandboxId })).status?.state).to.equal(0);
    expect(plugin.of("CreateContainer")).to.have.length(0);
    await removePod(node, { podSandboxId });
  });

  it("refuse a pod and a container, of which nothing is left; the next ones come up", async () => {
    const refuse = new Set(["RunPodSandbox", "CreateContainer"]);
    const plugin = await connect({
      onEvent: ({ event }) => {
        if (refuse.delete(event)) throw refusal(`no ${event} today`);
      },
    }).join();
    const config = sandboxConfig(node);
    const refused = await rpcFailure(node.runtime.runPodSandbox({ config }));
    expect(refused.details).to.match(/NRI plugin 00-test: RunPodSandbox: no RunPodSandbox today/);
    expect((await node.runtime.listPodSandbox({})).items).to.deep.equal([]);
    const pod = await runPod(node, config);
    const wanted = containerConfig("sleep 600");
    const create = () =>
      node.runtime.createContainer({
        podSandboxId: pod.podSandboxId,
        config: wanted,
        sandboxConfig: pod.sandbox,
      });
    expect((await rpcFailure(create())).details).to.match(/no CreateContainer today/);
    expect((await node.runtime.listContainers({})).containers).to.deep.equal([]);
    const gone = plugin.of("CreateContainer")[0]?.container?.id;
    const told = plugin.heard.filter(({ container }) => container?.id === gone);
    expect(told.map(({ event }) => event)).to.deep.equal([
      "CreateContainer",
      "StopContainer",
      "RemoveContainer",
    ]);
    const { containerId } = await create();
    expect(containerId).to.not.equal(gone);
    await removePod(node, pod);
  });

  it("hear of a container that ends by itself, once, and before it is removed", async () => {
    const plugin = await connect().join();
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("exit 3"));
    await untilExited(node, containerId);
    await until(() => plugin.of("StopContainer").length > 0);
    expect(plugin.of("StopContainer")[0]?.container?.exitCode).to.equal(3);
    await node.runtime.stopContainer({ containerId, timeout: 0n });
    await node.runtime.removeContainer({ containerId });
    await node.runtime.stopPodSandbox({ podSandboxId: pod.podSandboxId });
    await removePod(node, pod);
    for (const event of [
      "StopContainer",
      "RemoveContainer",
      "StopPodSandbox",
      "RemovePodSandbox",
    ]) {
      expect(plugin.of(event), event).to.have.length(1);
    }
    const order = plugin.heard.map(({ event }) => event);
    expect(order.indexOf("PostStartContainer")).to.be.lessThan(order.indexOf("StopContainer"));
  });

  it("that come late are informed of what exists, and of every create exactly once", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    const before = await startContainer(node, pod, containerConfig("sleep 600"));
    let release: () => void = () => undefined;
    let synchronizing: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (synchronizing = resolve));
    const plugin = connect({
      onSynchronize: async () => {
        synchronizing();
        await new Promise<void>((resolve) => (release = resolve));
      },
    });
    await plugin.register();
    await reached;
    const during = Promise.all(
      [1, 2, 3].map(() => createContainer(node, pod, containerConfig("sleep 600"))),
    );
    await until(async () => {
      const all = await node.docker.listContainers([]);
      return all.filter(({ State }) => State === "created").length >= 3;
    });
    release();
    const made = await during;
    expect(plugin.pods).to.include(pod.podSandboxId);
    const synchronized = plugin.containers.map(({ id }) => id);
    expect(synchronized).to.deep.equal([before]);
    expect(plugin.containers[0]?.args).to.deep.equal(["sh", "-c", "sleep 600"]);
    const told = plugin.of("CreateContainer").map(({ container }) => container?.id);
    expect(told.sort()).to.deep.equal([...made].sort());
    await removePod(node, pod);
    expect(plugin.of("StopContainer")).to.have.length(4);
    expect(plugin.of("RemovePodSandbox")).to.have.length(1);
  });

  it("of before v0.12 hear of everything by StateChange", async () => {
    const plugin = await connect({ old: true }).join();
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
    expect(plugin.heard.map(({ event }) => event)).to.deep.equal([
      "StateChange RunPodSandbox",
      "StateChange StopPodSandbox",
      "StateChange RemovePodSandbox",
    ]);
  });

  it("that hang are dropped and the pod comes up, unless their policy says otherwise", async () => {
    const never = () => new Promise<void>(() => undefined);
    const hanging = await connect({ name: "hangs", onEvent: never }).join();
    const pod = await runPod(node, hostSandboxConfig(node));
    await hanging.ended;
    await removePod(node, pod);
    const failing = await connect({
      name: "fails",
      onEvent: never,
      failurePolicy: { failRequest: true },
    }).join();
    const error = await rpcFailure(runPod(node, hostSandboxConfig(node)));
    expect(error.details).to.match(/NRI plugin 00-fails: RunPodSandbox: no answer within 2000 ms/);
    await failing.ended;
    const info = await node.runtime.status({ verbose: true });
    const nri = JSON.parse(info.info["nri"] ?? "{}") as { plugins: { name: string }[] };
    expect(nri.plugins.map(({ name }) => name)).to.include.members(["hangs", "fails"]);
  });

  it("are asked before limits change, and may not call before they are synchronized", async () => {
    const plugin = connect();
    expect(await plugin.update({}).catch(String)).to.match(/not synchronized yet/);
    await plugin.join();
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await startContainer(node, pod, containerConfig("sleep 600"));
    const linux = { cpuShares: 300n };
    await node.runtime.updateContainerResources({ containerId, linux });
    expect(plugin.of("UpdateContainer")).to.have.length(1);
    await plugin.update({
      update: [{ containerId, linux: { resources: { cpu: { shares: { value: 600n } } } } }],
    });
    const { HostConfig } = await node.docker.inspectContainer(containerId);
    expect(HostConfig.CpuShares).to.equal(600);
    await removePod(node, pod);
  });

  it("give a container resources before its first start, without dockline-oci", async () => {
    await connect({
      create: () => ({
        adjust: { linux: { resources: { cpu: { shares: { value: 512n } } } } },
      }),
    }).join();
    const pod = await runPod(node, hostSandboxConfig(node));
    const containerId = await createContainer(node, pod, containerConfig("sleep 600"));
    expect((await node.docker.inspectContainer(containerId)).HostConfig.CpuShares).to.equal(512);
    await node.runtime.startContainer({ containerId });
    await removePod(node, pod);
  });

  it("are refused by name for what needs dockline-oci where there is none", async () => {
    await connect({
      create: () => ({ adjust: { env: [{ key: "A", value: "b" }] } }),
    }).join();
    const pod = await runPod(node, hostSandboxConfig(node));
    const error = await rpcFailure(createContainer(node, pod, containerConfig("sleep 600")));
    expect(error.code).to.equal("FAILED_PRECONDITION");
    expect(error.details).to.match(/NRI plugin 00-test: env "A": dockline-oci is not registered/);
    await removePod(node, pod);
  });

  it("leave no container behind that nobody finished asking them about", async () => {
    const pod = await runPod(node, hostSandboxConfig(node));
    await node.terminate();
    await node.start({ DOCKLINE_FAILPOINT: "create.after-nri-create" });
    await connect().join();
    await rpcFailure(createContainer(node, pod, containerConfig("sleep 600")));
    await node.ended();
    await node.start();
    await until(async () => {
      const left = await node.docker.listContainers([]);
      return !left.some(({ Names }) => Names.some((name) => name.startsWith("/k8s_n")));
    });
    expect((await node.runtime.listContainers({})).containers).to.deep.equal([]);
    await removePod(node, pod);
  });

  it("of the node are started before the first pod, and ended with Dockline", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-plugins-"));
    const [dir, conf, notes] = ["plugins", "conf", "notes"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    mkdirSync(dir);
    mkdirSync(conf);
    writeFileSync(join(conf, "noting.conf"), "some: text");
    const program = join(import.meta.dirname, "..", "support", "nri-installed-plugin.ts");
    const run = `exec ${process.execPath} --disable-warning=ExperimentalWarning ${program} ${notes}`;
    writeFileSync(join(dir, "10-noting"), `#!/bin/sh\n${run}\n`, { mode: 0o755 });
    const environment = {
      DOCKLINE_NRI_PLUGIN_DIR: dir,
      DOCKLINE_NRI_PLUGIN_CONFIG_DIR: conf,
    };
    await node.terminate();
    await node.start(environment);
    const noted = (): string[] => readFileSync(notes, "utf8").trimEnd().split("\n");
    try {
      const pod = await runPod(node, hostSandboxConfig(node));
      expect(noted()[0]).to.match(
        /^started 10 noting .*NRI_PLUGIN_IDX,NRI_PLUGIN_NAME,NRI_PLUGIN_SOCKET/,
      );
      expect(noted()).to.include("RunPodSandbox").and.to.include("configured some: text");
      // What a Dockline that was killed leaves is ended by the next one.
      const note = join(node.folder, "run", "nri", "10-noting.pid");
      const [pid] = readFileSync(note, "utf8").split(" ");
      await node.kill();
      await node.start(environment);
      await removePod(node, pod);
      expect(noted().filter((line) => line.startsWith("started"))).to.have.length(2);
      await until(() => !isAlive(Number(pid)));
      const [second] = readFileSync(note, "utf8").split(" ");
      await node.terminate();
      await until(() => !isAlive(Number(second)));
    } finally {
      await node.terminate();
      await node.start();
      rmSync(folder, { recursive: true });
    }
  });

  it("of another runtime keep their socket", async () => {
    const other = await startNode({ environment: { DOCKLINE_NRI_LISTEN: nriSocket(node.folder) } });
    try {
      const { info } = await other.runtime.status({ verbose: true });
      expect(info["nri"]).to.match(/somebody else is serving/);
      await connect().join();
    } finally {
      await other.close();
    }
  });
});
