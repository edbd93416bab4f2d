import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { inspectNetns } from "../../src/network/netns.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import { engineSocket } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing, nodeState } from "../support/oracle.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from "../support/pods.ts";
import type { RunningPod } from "../support/pods.ts";
import { openPair } from "../support/port-forward.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { rpcFailure } from "../support/rpc-failure.ts";
import { spdyUpgrade } from "../support/streaming-server.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { busybox } from "../support/test-images.ts";
import { until } from "../support/until.ts";

const { SANDBOX_READY, SANDBOX_NOTREADY } = PodSandboxState;
const server = "while :; do echo pod | nc -l -p 80; done";

const docker = (socket: string, ...args: string[]): string =>
  execFileSync("docker", ["-H", `unix://${socket}`, ...args], { encoding: "utf8" }).trim();

/** What a pod's port 80 says, by way of a port-forward. */
async function forwarded(node: TestNode, podSandboxId: string): Promise<string> {
  const { url } = await node.runtime.portForward({ podSandboxId, port: [80] });
  const listening = { address: { port: Number(new URL(url).port) } };
  const client = await spdyUpgrade(listening, url, "portforward.k8s.io");
  const [data] = openPair(client, 80);
  await client.until(() => client.received(data).text.includes("\n"));
  client.transport.destroy();
  return client.received(data).text.trim();
}

const stateOf = async (node: TestNode, podSandboxId: string) => {
  const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
  return { state: status?.state, ip: status?.network?.ip };
};

describe("the namespace that plugins get where Docker makes it", function () {
  this.timeout(90_000);
  let plugins: FailpointNode;
  let node: TestNode;

  before(async () => {
    plugins = await startFailpointNode({ args: ["--pod-netns=docker"] });
    ({ node } = plugins);
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await plugins.close();
  });
  beforeEach(() => plugins.failOn({}));
  leavesNothing(() => node);

  /** As an earlier release has written it: Docker's path alone. */
  const makeEarly = async (podSandboxId: string): Promise<string> => {
    const key = (await node.docker.inspectContainer(podSandboxId)).NetworkSettings.SandboxKey!;
    const folder = join(node.stateDir, "sandboxes");
    for (const file of readdirSync(folder)) {
      const stored = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
        record: { id?: string; netns?: string; pauseRun?: object; network?: object };
      };
      const { pauseRun, ...record } = stored.record;
      if (record.id !== podSandboxId) continue;
      expect(pauseRun).to.not.equal(undefined);
      expect(record.netns, "for earlier releases").to.equal(key);
      const early = { ...record, network: { ...record.network, netns: key } };
      const checksum = createHash("sha256").update(JSON.stringify(early)).digest("hex");
      writeFileSync(join(folder, file), JSON.stringify({ version: 1, checksum, record: early }));
    }
    return key;
  };

  it("is the pause process's, which an agent in a pod sees that ran before", async () => {
    const [name, mounts] = [`agent-${process.pid}`, "/proc:/host/proc:ro"];
    docker(engineSocket, "run", "-d", "--cap-add=SYS_PTRACE", "--net=none", `--name=${name}`, "-v", mounts, busybox, "sleep", "1000"); // prettier-ignore
    try {
      const pod = await runPod(node);
      const { podSandboxId } = pod;
      await startContainer(node, pod, containerConfig(server));
      const { Pid } = (await node.docker.inspectContainer(podSandboxId)).State;
      const path = `/proc/${Pid}/ns/net`;
      expect(plugins.calls()[0]).to.include({ verb: "ADD", netns: path });
      expect(await inspectNetns(path)).to.equal("pod");
      const seen = docker(engineSocket, "exec", name, "stat", "-f", "-c", "%t", `/host${path}`);
      expect(seen, "nsfs").to.equal("6e736673");
      expect(await forwarded(node, podSandboxId)).to.equal("pod");
      await removePod(node, pod);
      expect(plugins.calls().at(-1)).to.include({ verb: "DEL", netns: path });
    } finally {
      docker(engineSocket, "rm", "-fv", name);
    }
  });

  it("stays Docker's path for pods of an earlier release", async () => {
    const [one, other] = [await runPod(node), await runPod(node)];
    await startContainer(node, one, containerConfig(server));
    await node.kill();
    const key = await makeEarly(one.podSandboxId);
    await makeEarly(other.podSandboxId);
    await node.start();
    expect((await stateOf(node, one.podSandboxId)).state).to.equal(SANDBOX_READY);
    expect(await forwarded(node, one.podSandboxId)).to.equal("pod");
    docker(engineSocket, "restart", "-t", "1", other.podSandboxId);
    await until(
      async () => (await stateOf(node, other.podSandboxId)).state === SANDBOX_NOTREADY,
      10_000,
    );
    await removePod(node, other);
    expect(plugins.calls().at(-1)).to.include({ verb: "DEL", netns: "" });
    await removePod(node, one);
    expect(plugins.calls().at(-1)).to.include({ verb: "DEL", netns: key });
  });

  for (const down of [false, true]) {
    it(`is lost with a restart of the pause container: NOTREADY, and a new pod (Dockline down: ${down})`, async () => {
      const pod: RunningPod = await runPod(node, sandboxConfig(node));
      const { podSandboxId } = pod;
      await startContainer(node, pod, containerConfig("sleep 1000"));
      const host = await runPod(node, hostSandboxConfig(node));
      const { ip } = await stateOf(node, podSandboxId);
      expect(ip).to.not.equal("");
      if (down) await node.kill();
      docker(engineSocket, "restart", "-t", "1", podSandboxId, host.podSandboxId);
      if (down) await node.start();
      let now: Awaited<ReturnType<typeof stateOf>>;
      await until(async () => {
        now = await stateOf(node, podSandboxId);
        return now.state === SANDBOX_NOTREADY;
      }, 10_000);
      expect(now!.ip).to.equal("");
      const { items } = await node.runtime.listPodSandbox({ filter: { id: podSandboxId } });
      expect(items[0]?.state).to.equal(SANDBOX_NOTREADY);
      await until(async () => (await stateOf(node, host.podSandboxId)).state === SANDBOX_READY);
      const config = containerConfig("sleep 1000", { metadata: { name: "late" } });
      const refused = await rpcFailure(
        node.runtime.createContainer({ podSandboxId, config, sandboxConfig: pod.sandbox }),
      );
      expect(refused.code).to.equal("FAILED_PRECONDITION");
      // It stays so.
      await node.kill();
      await node.start();
      await until(async () => (await stateOf(node, podSandboxId)).state === SANDBOX_NOTREADY, 5000);
      // What the kubelet does then.
      await node.runtime.stopPodSandbox({ podSandboxId });
      expect(plugins.calls().at(-1)).to.include({ verb: "DEL", netns: "" });
      expect(nodeState(node).addresses).to.deep.equal([]);
      const metadata = { ...pod.sandbox.metadata, attempt: 1 };
      const next = await runPod(node, { ...pod.sandbox, metadata });
      expect((await stateOf(node, next.podSandboxId)).state).to.equal(SANDBOX_READY);
      for (const one of [pod, next, host]) await removePod(node, one);
    });
  }
});

describe("a dockerd with mounts of its own", function () {
  this.timeout(120_000);
  const folder = tempFolder();
  let engine: PrivateEngine;
  let plugins: FailpointNode;
  after(async () => {
    await (plugins as FailpointNode | undefined)?.close();
    await (engine as PrivateEngine | undefined)?.remove();
    folder.remove();
  });

  it("has pods with addresses, which port-forwards and DEL reach", async () => {
    // A snap, or PrivateMounts=yes in a drop-in of docker.service.
    const program = folder.path("dockerd");
    const real = process.env["DOCKLINE_TEST_DOCKERD"] ?? "dockerd";
    writeFileSync(program, `#!/bin/sh\nexec unshare --mount --propagation private ${real} "$@"\n`);
    chmodSync(program, 0o755);
    engine = await startPrivateEngine([], {}, program);
    plugins = await startFailpointNode({ upstream: engine.socketPath });
    const { node } = plugins;
    const pod = await runPod(node);
    const { podSandboxId } = pod;
    const { NetworkSettings } = await node.docker.inspectContainer(podSandboxId);
    expect(await inspectNetns(NetworkSettings.SandboxKey ?? "")).to.equal("gone");
    await startContainer(node, pod, containerConfig(server));
    expect(await forwarded(node, podSandboxId)).to.equal("pod");
    await node.kill();
    await node.start();
    expect((await stateOf(node, podSandboxId)).state).to.equal(SANDBOX_READY);
    await removePod(node, pod);
    expect(plugins.calls().at(-1)?.netns).to.match(/^\/proc\/\d+\/ns\/net$/);
    expect(nodeState(node).addresses).to.deep.equal([]);
  });
});
