import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { Protocol } from "../../src/gen/runtime/v1/api_pb.js";
import { removeCgroup } from "../support/cgroup-truth.ts";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import { works } from "../support/fields.ts";
import { attempt, removeSharedChains, run } from "../support/host-tables.ts";
import type { TestNode } from "../support/node.ts";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import {
  containerConfig,
  hostSandboxConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
} from "../support/pods.ts";
import { until } from "../support/until.ts";

const otherNetns = "dlpod-other";
const link = "dlpod0";
/** One bridge has addresses of one configuration only. */
const otherBridge = "dlpod6";
/** Host ports are the whole machine's: those of another run's pods must not be met. */
const firstPort = 41_000 + (process.pid % 1000) * 4;
const ports = {
  any: firstPort,
  local: firstPort + 1,
  udp: firstPort + 2,
  capability: firstPort + 3,
};
/** Serves "pod" over TCP on 80. */
const server = "(while :; do echo pod | nc -l -p 80; done) & while :; do sleep 1; done";

const echoUdp = `
  const socket = require("dgram").createSocket("udp4");
  socket.on("message", (text, from) => socket.send(text, from.port, from.address));
  socket.bind(53, () => console.log("up"));`;

describe("a pod's network", function () {
  this.timeout(90_000);
  let plugins: FailpointNode;
  let node: TestNode;
  let start: NodeState;
  let conflist: string;

  before(async () => {
    plugins = await startFailpointNode();
    ({ node } = plugins);
    conflist = readFileSync(join(node.cniConfDir, "10-test.conflist"), "utf8");
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
  });
  after(async () => {
    await plugins.close();
    removeSharedChains();
  });
  beforeEach(() => {
    plugins.failOn({});
    start = nodeState(node);
  });
  afterEach(async () => {
    writeFileSync(join(node.cniConfDir, "10-test.conflist"), conflist);
    await expectNothingLeft(node, start);
  });

  it("ports are published to the host: any address, one address, TCP and UDP", async () => {
    works(
      "PortMapping.protocol",
      "PortMapping.container_port",
      "PortMapping.host_port",
      "PortMapping.host_ip",
    );
    const config = sandboxConfig(node, {
      portMappings: [
        { hostPort: ports.any, containerPort: 80, protocol: Protocol.TCP },
        { hostPort: ports.local, containerPort: 80, protocol: Protocol.TCP, hostIp: "127.0.0.1" },
        { hostPort: ports.udp, containerPort: 53, protocol: Protocol.UDP },
        // The kubelet sends declared ports that are not published, too.
        { hostPort: 0, containerPort: 9999 },
      ],
    });
    const pod = await runPod(node, config);
    await startContainer(node, pod, containerConfig(server));
    const [ip = ""] = nodeState(node).addresses;
    expect(await greetingOf(ip, 80)).to.equal("pod\n");
    for (const port of [ports.any, ports.local]) {
      expect(await greetingOf("127.0.0.1", port), String(port)).to.equal("pod\n");
    }
    const { Pid } = (await node.docker.inspectContainer(pod.podSandboxId)).State;
    const echo = spawn("nsenter", [`--net=/proc/${Pid}/ns/net`, process.execPath, "-e", echoUdp], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(echo.stdout, "data");
      expect(await datagramAnswered("127.0.0.1", ports.udp)).to.equal("hello");
    } finally {
      const ended = once(echo, "exit");
      echo.kill("SIGKILL");
      await ended;
    }
    const [add] = plugins.calls();
    expect(add?.args).to.include(`K8S_POD_UID=${config.metadata?.uid ?? ""}`);
    expect(add?.args).to.include(`K8S_POD_INFRA_CONTAINER_ID=${pod.podSandboxId}`);
    await removePod(node, pod);
    const rules = run("iptables-save", "-t", "nat");
    for (const port of Object.values(ports)) expect(rules).to.not.include(`dport ${port} `);
  });

  it("capabilities reach the plugins that declare them", async () => {
    const list = JSON.parse(conflist) as { plugins: Record<string, unknown>[] };
    list.plugins[0] = {
      ...list.plugins[0],
      capabilities: {
        ...{ portMappings: true, bandwidth: true, dns: true, aliases: true, cgroupPath: true },
        "io.kubernetes.cri.pod-annotations": true,
      },
    };
    writeFileSync(join(node.cniConfDir, "10-test.conflist"), JSON.stringify(list));
    const annotations = {
      "kubernetes.io/ingress-bandwidth": "10M",
      "kubernetes.io/egress-bandwidth": "1M",
      "example.com/routes": "10.0.0.0/8;via=x",
    };
    const systemd = (await node.docker.info()).CgroupDriver === "systemd";
    const cgroup = `dockline-capabilities-${process.pid}`;
    const cgroupParent = systemd ? `/${cgroup}.slice` : `/kubepods/burstable/${cgroup}`;
    const pod = await runPod(
      node,
      sandboxConfig(node, {
        annotations,
        linux: { cgroupParent },
        dnsConfig: { servers: ["10.96.0.10"], searches: ["a.b"], options: [] },
        portMappings: [{ hostPort: ports.capability, containerPort: 80, hostIp: "127.0.0.1" }],
      }),
    );
    const runtimeConfig = plugins.calls()[0]?.config["runtimeConfig"] as Record<string, unknown>;
    expect(runtimeConfig["bandwidth"]).to.include({ ingressRate: 10_000_000, egressRate: 1e6 });
    expect(runtimeConfig["portMappings"]).to.deep.equal([
      { hostPort: ports.capability, containerPort: 80, protocol: "tcp", hostIP: "127.0.0.1" },
    ]);
    expect(runtimeConfig["dns"]).to.deep.include({ servers: ["10.96.0.10"], searches: ["a.b"] });
    expect(runtimeConfig["io.kubernetes.cri.pod-annotations"]).to.deep.equal(annotations);
    expect(runtimeConfig["aliases"]).to.deep.equal([pod.sandbox.metadata?.name]);
    expect(runtimeConfig["cgroupPath"]).to.equal(cgroupParent);
    await removePod(node, pod);
    if (!systemd) removeCgroup(cgroupParent);
    // DEL gets the same arguments again.
    expect(plugins.calls().at(-1)?.config["runtimeConfig"]).to.deep.equal(runtimeConfig);
  });

  it("two address families are both reported and work, over a restart too", async () => {
    const list = JSON.parse(conflist) as {
      plugins: { delegate: { bridge: string; ipam: object } }[];
    };
    const [bridge] = list.plugins;
    bridge!.delegate.bridge = otherBridge;
    bridge!.delegate.ipam = {
      ...bridge!.delegate.ipam,
      ranges: [[{ subnet: "10.219.77.0/24" }], [{ subnet: "fd19:77::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    };
    writeFileSync(join(node.cniConfDir, "10-test.conflist"), JSON.stringify(list));
    const pod = await runPod(node);
    const { podSandboxId } = pod;
    const id = await startContainer(node, pod, containerConfig("sleep 1000"));
    const addresses = async (): Promise<string[]> => {
      const network = (await node.runtime.podSandboxStatus({ podSandboxId })).status?.network;
      return [network?.ip ?? "", ...(network?.additionalIps ?? []).map(({ ip }) => ip)];
    };
    const before = await addresses();
    expect(before[0]).to.match(/^10\.219\.77\./);
    expect(before[1]).to.match(/^fd19:77::/);
    expect(before).to.have.length(2);
    const seen = await shell(node, id, "ip -o addr show dev eth0");
    for (const ip of before) expect(seen).to.include(`${ip}/`);
    const disabled = "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    expect(await shell(node, id, disabled)).to.equal("0");
    await node.kill();
    await node.start();
    expect(await addresses()).to.deep.equal(before);
    await removePod(node, pod);
    run("ip", "link", "del", otherBridge);
  });

  it("ranges that the kubelet sent once are known after a restart, and none is needed beside own ones", async () => {
    const list = JSON.parse(conflist) as {
      plugins: {
        capabilities?: object;
        ipam?: object;
        delegate: { bridge: string; ipam: { dataDir: string } };
      }[];
    };
    const plugin = list.plugins[0]!;
    plugin.capabilities = { ipRanges: true };
    const { dataDir } = plugin.delegate.ipam;
    Object.assign(plugin.delegate, { bridge: otherBridge, ipam: { type: "host-local", dataDir } });
    const put = (): void =>
      writeFileSync(join(node.cniConfDir, "10-test.conflist"), JSON.stringify(list));
    put();
    const networkReady = async () =>
      (await node.runtime.status({})).status?.conditions.find(
        ({ type }) => type === "NetworkReady",
      );
    const asked = "10.219.78.0/24, fd19:78::/64";
    const runtimeConfig = { networkConfig: { podCidr: asked } };
    expect((await networkReady())?.message).to.include("--pod-cidr");
    await node.runtime.updateRuntimeConfig({ runtimeConfig });
    for (let start = 0; start < 2; start += 1) {
      expect(await networkReady()).to.include({ status: true, message: "" });
      const pod = await runPod(node);
      expect(plugins.calls().at(-1)?.config["runtimeConfig"]).to.deep.include({
        ipRanges: [[{ subnet: "10.219.78.0/24" }], [{ subnet: "fd19:78::/64" }]],
      });
      await removePod(node, pod);
      await node.kill();
      await node.start();
    }
    const refused = await node.runtime
      .updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr: "10.0.0.0/99" } } })
      .then(String, String);
    expect(refused).to.include("pod CIDR");
    writeFileSync(join(node.stateDir, "pod-cidr.json"), "{");
    await node.kill();
    await node.start();
    expect(await networkReady()).to.include({ status: false });
    plugin.ipam = { type: "host-local", ranges: [[{ subnet: "10.219.79.0/24" }]] };
    put();
    expect(await networkReady()).to.include({ status: true });
    run("ip", "link", "del", otherBridge);
  });

  it("a FORWARD policy of DROP cuts a pod off from another host, and Status says so", async () => {
    const policy = /-P FORWARD (\w+)/.exec(run("iptables", "-S", "FORWARD"))?.[1] ?? "ACCEPT";
    const pod = await runPod(node);
    await startContainer(node, pod, containerConfig(server));
    const [ip = ""] = nodeState(node).addresses;
    try {
      run("ip", "netns", "add", otherNetns);
      run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", otherNetns);
      run("ip", "addr", "add", "198.51.100.9/30", "dev", link);
      run("ip", "link", "set", link, "up");
      run("ip", "-n", otherNetns, "addr", "add", "198.51.100.10/30", "dev", "eth0");
      run("ip", "-n", otherNetns, "link", "set", "eth0", "up");
      run("ip", "-n", otherNetns, "route", "add", "default", "via", "198.51.100.9");
      run("iptables", "-P", "FORWARD", "ACCEPT");
      await until(() => reaches(ip), 15_000);
      expect(await forwardMessage()).to.equal("");
      run("iptables", "-P", "FORWARD", "DROP");
      expect(reaches(ip)).to.equal(false);
      expect(await forwardMessage()).to.include("iptables -P FORWARD ACCEPT");
    } finally {
      run("iptables", "-P", "FORWARD", policy);
      attempt("ip", "link", "del", link);
      attempt("ip", "netns", "del", otherNetns);
      await removePod(node, pod);
    }
  });

  /** Whatever Status tells of the policy, in conditions or verbose information. */
  const forwardMessage = async (): Promise<string> => {
    // Read at the start and then once a minute.
    await node.kill();
    await node.start();
    const { status, info } = await node.runtime.status({ verbose: true });
    const texts = [
      ...(status?.conditions.map(({ message }) => message) ?? []),
      ...Object.values(info),
    ];
    return texts.find((text) => text.includes("-P FORWARD ACCEPT")) ?? "";
  };
});

function reaches(ip: string): boolean {
  try {
    const script = `const s = require("net").connect(80, "${ip}"); s.setTimeout(700, () => process.exit(1)); s.on("data", () => process.exit(0)); s.on("error", () => process.exit(1));`;
    run("ip", "netns", "exec", otherNetns, process.execPath, "-e", script);
    return true;
  } catch {
    return false;
  }
}

async function greetingOf(host: string, port: number): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const socket = connect({ host, port, timeout: 1000 });
    try {
      socket.on("timeout", () => socket.destroy(new Error("silence")));
      const [chunk] = (await once(socket, "data")) as [Buffer];
      return chunk.toString("utf8");
    } catch (error) {
      if (tries >= 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      socket.destroy();
    }
  }
}

async function datagramAnswered(host: string, port: number): Promise<string> {
  const socket = createSocket("udp4");
  try {
    for (let tries = 0; tries < 20; tries += 1) {
      socket.send("hello", port, host);
      const answer = once(socket, "message", { signal: AbortSignal.timeout(500) });
      const [message] = (await answer.catch(() => [])) as [Buffer?];
      if (message !== undefined) return message.toString("utf8");
    }
    throw new Error("no datagram came back");
  } finally {
    socket.close();
  }
}
