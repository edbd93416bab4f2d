import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, isIPv6 } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { Protocol } from "../../src/gen/runtime/v1/api_pb.js";
import { startFailpointNode } from "../support/failpoint-node.ts";
import type { FailpointNode } from "../support/failpoint-node.ts";
import { removeSharedChains, run } from "../support/host-tables.ts";
import type { TestNode } from "../support/node.ts";
import { leavesNothing } from "../support/oracle.ts";
import { hostSandboxConfig, removePod, runPod, sandboxConfig } from "../support/pods.ts";
import type { SandboxInit } from "../support/pods.ts";

type Mapping = NonNullable<SandboxInit["portMappings"]>[number];

const bridge = "dlports0";
/** The node's own addresses on that bridge, which the plugin gives it. */
const node4 = "10.219.81.1";
const node6 = "fd19:81::1";
const port = 45_000 + (process.pid % 2000);

/** Says on each port which one it is, over TCP and UDP, and over both families. */
const server = `
  for (const port of [80, 81]) {
    require("net").createServer((socket) => socket.end("tcp " + port)).listen(port, "::");
    const udp = require("dgram").createSocket("udp6");
    udp.on("message", (text, from) => udp.send("udp " + port, from.port, from.address));
    udp.bind(port, "::");
  }
  setTimeout(() => console.log("up"), 200);`;

describe("host ports", function () {
  this.timeout(90_000);
  let plugins: FailpointNode;
  let node: TestNode;

  before(async () => {
    plugins = await startFailpointNode();
    ({ node } = plugins);
    const file = join(node.cniConfDir, "10-test.conflist");
    const list = JSON.parse(readFileSync(file, "utf8")) as {
      plugins: { delegate: { bridge: string; ipam: object }; capabilities?: object }[];
    };
    const [first] = list.plugins;
    first!.capabilities = { portMappings: true };
    first!.delegate.bridge = bridge;
    first!.delegate.ipam = {
      ...first!.delegate.ipam,
      ranges: [[{ subnet: "10.219.81.0/24" }], [{ subnet: "fd19:81::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    };
    writeFileSync(file, JSON.stringify(list));
    await removePod(node, await runPod(node, hostSandboxConfig(node)));
    // The bridge and its chains stay from pod to pod.
    await removePod(node, await runPod(node, withPorts([])));
  });
  after(async () => {
    await plugins.close();
    run("ip", "link", "del", bridge);
    removeSharedChains();
  });
  beforeEach(() => plugins.failOn({}));
  leavesNothing(() => node);

  const withPorts = (portMappings: Mapping[]): SandboxInit => sandboxConfig(node, { portMappings });

  async function served(portMappings: Mapping[], work: () => Promise<void>): Promise<void> {
    const pod = await runPod(node, withPorts(portMappings));
    const { Pid } = (await node.docker.inspectContainer(pod.podSandboxId)).State;
    const args = [`--net=/proc/${Pid}/ns/net`, process.execPath, "-e", server];
    const child: ChildProcess = spawn("nsenter", args, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(child.stdout!, "data");
      await work();
    } finally {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      await removePod(node, pod);
    }
    const rules = run("iptables-save", "-t", "nat") + run("ip6tables-save", "-t", "nat");
    expect(rules).to.not.match(new RegExp(`dport ${port}\\b`));
  }
  /** What the plugins got, in the names of the CNI convention. */
  const passedOn = (): unknown => {
    const config = plugins.calls().find(({ verb }) => verb === "ADD")?.config;
    return (config?.["runtimeConfig"] as { portMappings?: unknown } | undefined)?.portMappings;
  };

  for (const [hostIp, reached] of [
    ["", [node4, node6, "127.0.0.1"]],
    ["0.0.0.0", [node4, "127.0.0.1"]],
    ["::", [node6]],
    [node4, [node4]],
    [node6, [node6]],
    ["127.0.0.1", ["127.0.0.1"]],
  ] as const)
    it(`on the address "${hostIp}" answer on ${reached.join(" and ")} alone`, async () => {
      // Without a protocol it is TCP.
      await served([{ hostPort: port, containerPort: 80, hostIp }], async () => {
        expect(passedOn()).to.deep.equal([
          { hostPort: port, containerPort: 80, protocol: "tcp", hostIP: hostIp },
        ]);
        for (const address of [node4, node6, "127.0.0.1"]) {
          const answer = (reached as readonly string[]).includes(address) ? "tcp 80" : "nothing";
          expect(await overTcp(address), address).to.equal(answer);
          expect(await overUdp(address), `${address} over UDP`).to.equal("nothing");
        }
      });
    });

  it("of one number lead to different ports by address and by protocol", async () => {
    const mappings: Mapping[] = [
      { hostPort: port, containerPort: 80, hostIp: node4 },
      { hostPort: port, containerPort: 81, hostIp: "127.0.0.1" },
      { hostPort: port, containerPort: 81, hostIp: node6 },
      { hostPort: port, containerPort: 80, protocol: Protocol.UDP },
      { hostPort: 0, containerPort: 4444, protocol: Protocol.UDP },
      // Left out on other runtimes too.
      { hostPort: -1, containerPort: 4444 },
      { hostPort: port, containerPort: 4444, hostIp: "localhost" },
    ];
    await served(mappings, async () => {
      expect(passedOn()).to.have.length(4);
      expect(await overTcp(node4)).to.equal("tcp 80");
      expect(await overTcp("127.0.0.1")).to.equal("tcp 81");
      expect(await overTcp(node6)).to.equal("tcp 81");
      expect(await overUdp(node4)).to.equal("udp 80");
      expect(await overUdp(node6)).to.equal("udp 80");
    });
  });

  it("given twice work once, and SCTP ones are in the tables", async () => {
    const mapping: Mapping = { hostPort: port, containerPort: 80 };
    const sctp: Mapping = { ...mapping, protocol: Protocol.SCTP };
    await served([mapping, mapping, sctp], async () => {
      expect(passedOn()).to.have.length(3);
      expect(await overTcp(node4)).to.equal("tcp 80");
      expect(await overTcp(node6)).to.equal("tcp 80");
      // The machine may have no SCTP; where the kernel would send it is in its tables.
      for (const program of ["iptables-save", "ip6tables-save"]) {
        const rules = run(program, "-t", "nat").split("\n");
        const rule = rules.find((line) => line.includes("-p sctp") && line.includes("DNAT"));
        expect(rule, program).to.match(new RegExp(`--dport ${port}\\b`));
      }
    });
  });
});

async function overTcp(host: string): Promise<string> {
  const socket = connect({ host, port, timeout: 1500 });
  try {
    socket.on("timeout", () => socket.destroy(new Error("silence")));
    const [chunk] = (await once(socket, "data")) as [Buffer];
    return chunk.toString("utf8");
  } catch {
    return "nothing";
  } finally {
    socket.destroy();
  }
}

async function overUdp(host: string): Promise<string> {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  socket.on("error", () => undefined);
  try {
    for (let tries = 0; tries < 2; tries += 1) {
      socket.send("hello", port, host);
      const answer = once(socket, "message", { signal: AbortSignal.timeout(400) });
      const [message] = (await answer.catch(() => [])) as [Buffer?];
      if (message !== undefined) return message.toString("utf8");
    }
    return "nothing";
  } finally {
    socket.close();
  }
}
