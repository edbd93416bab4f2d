import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/log.ts";
import { createForwardPolicySource } from "../../src/network/forward-policy.ts";
import type { ForwardPolicy } from "../../src/network/forward-policy.ts";
import { createNetwork } from "../../src/network/network.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { attempt, removeSharedChains, run } from "../support/host-tables.ts";
import { until } from "../support/until.ts";

// A second network namespace plays another host. Needs root, iptables and CNI plugins.

const bridge = "dlfwd0";
const podNetns = "dlfwd-pod";
const otherNetns = "dlfwd-other";
const tools = ["iptables", "ip6tables"];

describe("FORWARD policy of this host", function () {
  this.timeout(90_000);
  let confDir: string;
  let restore: () => void = () => undefined;

  beforeEach(async () => {
    // The host has one policy: a lane beside this one has its turn first. What a killed run left is nobody's turn.
    const isTaken = (): boolean => existsSync(`/run/netns/${podNetns}`);
    await until(() => !isTaken(), 20_000).catch(() => undefined);
    if (isTaken()) run("ip", "netns", "del", podNetns);
    confDir = mkdtempSync(join(tmpdir(), "dockline-forward-"));
    run("ip", "netns", "add", podNetns);
    run("ip", "netns", "add", otherNetns);
    const policies = tools.map((tool) => /-P FORWARD (\w+)/.exec(run(tool, "-S", "FORWARD"))![1]!);
    restore = () => tools.forEach((tool, at) => run(tool, "-P", "FORWARD", policies[at]!));
  });

  afterEach(() => {
    restore();
    for (const flag of ["-i", "-o"]) {
      attempt("iptables", "-D", "FORWARD", flag, bridge, "-j", "ACCEPT");
    }
    for (const netns of [podNetns, otherNetns]) attempt("ip", "netns", "del", netns);
    for (const link of [bridge, "dlfwd1"]) attempt("ip", "link", "del", link);
    rmSync(confDir, { recursive: true });
  });
  after(removeSharedChains);

  const connectOtherHost = (): void => {
    run("ip", "link", "add", "dlfwd1", "type", "veth", "peer", "name", "eth0", "netns", otherNetns);
    const inOther = ["-n", otherNetns];
    for (const [where, device, last] of [
      [[], "dlfwd1", "1"],
      [inOther, "eth0", "2"],
    ] as const) {
      run("ip", ...where, "addr", "add", `198.51.100.${last}/24`, "dev", device);
      run("ip", ...where, "addr", "add", `fd19:100::${last}/64`, "dev", device, "nodad");
      run("ip", ...where, "link", "set", device, "up");
    }
    run("ip", ...inOther, "route", "add", "default", "via", "198.51.100.1");
    run("ip", ...inOther, "-6", "route", "add", "default", "via", "fd19:100::1");
  };

  /** Whether the other host gets an answer from port 8080, trying for as long. */
  const reaches = (ip: string, forMs: number): boolean => {
    const script = `
      const end = Date.now() + ${forMs};
      const attempt = () => {
        const socket = require("net").connect(8080, "${ip}");
        socket.setTimeout(700, () => socket.destroy(new Error("silence")));
        socket.on("data", () => process.exit(0));
        socket.on("error", () => (Date.now() < end ? setTimeout(attempt, 100) : process.exit(1)));
      };
      attempt();`;
    try {
      run("ip", "netns", "exec", otherNetns, process.execPath, "-e", script);
      return true;
    } catch {
      return false;
    }
  };
  const verdict = async (): Promise<ForwardPolicy> =>
    await createForwardPolicySource({ clock: systemClock, log: silentLogger }).current();

  it("of DROP cuts pods off from another host, both families, and is reported", async () => {
    const ipam = {
      type: "host-local",
      dataDir: join(confDir, "addresses"),
      ranges: [[{ subnet: "10.219.8.0/24" }], [{ subnet: "fd19:8::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    };
    writeFileSync(
      join(confDir, "10-test.conflist"),
      JSON.stringify({
        cniVersion: "1.0.0",
        name: "dlfwd",
        plugins: [{ type: "bridge", bridge, isGateway: true, ipam }, { type: "firewall" }],
      }),
    );
    const network = createNetwork({ confDir, log: silentLogger, clock: systemClock });
    const attachment = await network.setUp({
      containerId: `dlfwd${process.pid}`,
      netns: `/run/netns/${podNetns}`,
      podName: "web",
      podNamespace: "default",
      podUid: "4f7c",
      portMappings: [],
      beforeAdd: () => Promise.resolve(),
    });
    expect(attachment.ips).to.have.length(2);
    connectOtherHost();
    expect(readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8")).to.equal("1\n");

    const serve = `require("net").createServer((s) => s.end("pod")).listen(8080, "::", () => console.log("up"))`;
    const server = spawn("ip", ["netns", "exec", podNetns, process.execPath, "-e", serve], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(server.stdout, "data");
      for (const tool of tools) run(tool, "-P", "FORWARD", "ACCEPT");
      for (const ip of attachment.ips) expect(reaches(ip, 15_000), ip).to.equal(true);
      expect(await verdict()).to.deep.equal({ ipv4: "ACCEPT", ipv6: "ACCEPT", message: "" });

      for (const tool of tools) run(tool, "-P", "FORWARD", "DROP");
      for (const ip of attachment.ips) expect(reaches(ip, 1000), ip).to.equal(false);
      const dropped = await verdict();
      expect(dropped).to.include({ ipv4: "DROP", ipv6: "DROP" });
      expect(dropped.message).to.include("IPv4 and IPv6").and.include("iptables -P FORWARD ACCEPT");

      // A rule in each direction is a remedy as well, and is seen as one.
      for (const flag of ["-i", "-o"]) {
        run("iptables", "-A", "FORWARD", flag, bridge, "-j", "ACCEPT");
      }
      expect(reaches(attachment.ips[0]!, 15_000)).to.equal(true);
      expect(reaches(attachment.ips[1]!, 1000)).to.equal(false);
      expect(await verdict()).to.include({ ipv4: "ACCEPT", ipv6: "DROP" });
    } finally {
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
      await network.tearDown(attachment, attachment.netns);
      network.close();
    }
  });
});
