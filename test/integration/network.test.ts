import { expect } from "chai";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../src/log.ts";
import type { NetworkAttachment } from "../../src/network/attachment.ts";
import { readLegacyCache, writeLegacyCache } from "../../src/network/legacy-cache.ts";
import { inspectNetns } from "../../src/network/netns.ts";
import { createNetwork } from "../../src/network/network.ts";
import type { SetUpRequest } from "../../src/network/attachment.ts";
import type { Network } from "../../src/network/network.ts";
import { systemClock } from "../../src/sys/clock.ts";
import {
  failpointCalls,
  installFailpointPlugin,
  setFailpoints,
} from "../support/failpoint-cni/install.ts";
import { attempt, podRules, removeRules, removeSharedChains, run } from "../support/host-tables.ts";

// Real plugins in real namespaces; needs root and the distribution's CNI plugins.

const pluginDirs = ["/opt/cni/bin", "/usr/lib/cni"];
const bridge = "dltest0";
const podNetns = "dltest-pod";
const netnsPath = `/run/netns/${podNetns}`;

describe("network with real plugins", function () {
  this.timeout(60_000);
  let root: string;
  let confDir: string;
  let dataDir: string;
  let network: Network;
  let id: string;
  let round = 0;

  before(function () {
    const found = (type: string): boolean => pluginDirs.some((dir) => existsSync(join(dir, type)));
    for (const type of ["bridge", "host-local", "portmap", "firewall"]) {
      expect(found(type), `CNI plugin ${type} in ${pluginDirs.join(" or ")}`).to.equal(true);
    }
    expect(process.getuid?.(), "root is needed").to.equal(0);
  });

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-network-"));
    confDir = join(root, "net.d");
    dataDir = join(root, "addresses");
    mkdirSync(confDir);
    round += 1;
    id = `dltest${process.pid}x${round}`;
    attempt("ip", "netns", "del", podNetns);
    run("ip", "netns", "add", podNetns);
    network = open();
  });

  afterEach(() => {
    network.close();
    attempt("ip", "netns", "del", podNetns);
    attempt("ip", "link", "del", bridge);
    // The bridge plugin of 1.1 leaves its masquerade chain when the namespace, or the address in it,
    // went before the DEL.
    removeRules("nat", (line) => line.startsWith("-A POSTROUTING") && line.includes(id));
    rmSync(root, { recursive: true, force: true });
  });

  after(removeSharedChains);

  const open = (binDirs: readonly string[] = pluginDirs): Network =>
    createNetwork({
      confDir,
      binDirs,
      legacyCacheDir: join(root, "cache"),
      log: silentLogger,
      clock: systemClock,
    });
  const bridgePlugin = (ipamMore: object = {}): { type: string } & Record<string, unknown> => ({
    type: "bridge",
    bridge,
    isGateway: true,
    ipMasq: true,
    ipam: {
      type: "host-local",
      dataDir,
      ranges: [[{ subnet: "10.219.7.0/24" }], [{ subnet: "fd19:7::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
      ...ipamMore,
    },
  });
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  const write = (plugins: object[], more: object = {}): void =>
    writeFileSync(
      join(confDir, "10-test.conflist"),
      JSON.stringify({ cniVersion: "1.0.0", name: "dltest", plugins, ...more }),
    );
  const request = (more: Partial<SetUpRequest> = {}): SetUpRequest => ({
    containerId: id,
    netns: netnsPath,
    podName: "web",
    podNamespace: "default",
    podUid: "4f7c",
    portMappings: [],
    beforeAdd: () => Promise.resolve(),
    ...more,
  });
  const heldAddresses = (): string[] =>
    existsSync(join(dataDir, "dltest"))
      ? readdirSync(join(dataDir, "dltest")).filter(
          (name) => /^[0-9a-f.:]+$/.test(name) && name !== "lock",
        )
      : [];

  it("attaches a dual-stack pod, checks it, and detaches it twice after its config is deleted", async () => {
    write([bridgePlugin(), portmap, { type: "firewall" }]);
    expect(await network.status()).to.include({ ready: true });
    const attachment = await network.setUp(
      request({
        portMappings: [{ hostPort: 28080, containerPort: 80, protocol: "tcp", hostIp: "" }],
      }),
    );
    expect(attachment.ips).to.have.length(2);
    expect(attachment.ips[0]).to.match(/^10\.219\.7\.\d+$/);
    expect(attachment.ips[1]).to.match(/^fd19:7::/);
    const inside = run("ip", "netns", "exec", podNetns, "ip", "-o", "addr", "show", "dev", "eth0");
    for (const ip of attachment.ips) expect(inside).to.include(` ${ip}/`);
    expect(heldAddresses()).to.have.members(attachment.ips);
    const marks = [id, ...attachment.ips.map((ip) => `${ip}/`), "--dport 28080"];
    expect(podRules(marks).join("\n")).to.include("28080").and.include("CNI-FORWARD");

    rmSync(confDir, { recursive: true });
    const saved = JSON.parse(JSON.stringify(attachment)) as NetworkAttachment;
    network = open();
    await network.tearDown(saved, netnsPath);
    expect(podRules(marks)).to.deep.equal([]);
    expect(heldAddresses()).to.deep.equal([]);
    expect(run("ip", "netns", "exec", podNetns, "ip", "-o", "link")).not.to.include("eth0");
    await network.tearDown(saved, netnsPath);
    run("ip", "netns", "del", podNetns);
    await network.tearDown(saved, netnsPath);
    await network.tearDown(saved, "");
  });

  it("frees addresses and rules when the namespace went first", async () => {
    write([bridgePlugin(), portmap, { type: "firewall" }]);
    const attachment = await network.setUp(request());
    expect(await inspectNetns(netnsPath)).to.equal("pod");
    run("ip", "netns", "del", podNetns);
    expect(await inspectNetns(netnsPath)).to.equal("gone");
    await network.tearDown(attachment, netnsPath);
    expect(heldAddresses()).to.deep.equal([]);
    expect(podRules(attachment.ips.slice(1).map((ip) => `CNI-FORWARD -d ${ip}/`))).to.deep.equal(
      [],
    );
  });

  it("tells the host's own namespace from a pod's", async () => {
    expect(await inspectNetns("/proc/self/ns/net")).to.equal("host");
    expect(await inspectNetns("/etc/hostname")).to.equal("gone");
    expect(await inspectNetns("")).to.equal("gone");
  });

  it("takes the ranges of the node, one for each family", async () => {
    const ipam = { ranges: undefined };
    write([{ ...bridgePlugin(ipam), capabilities: { ipRanges: true } }, portmap]);
    network.setPodCidr("10.219.9.0/24,fd19:9::/64");
    const attachment = await network.setUp(request());
    expect(attachment.ips[0]).to.match(/^10\.219\.9\./);
    expect(attachment.ips[1]).to.match(/^fd19:9::/);
    await network.tearDown(attachment, netnsPath);
    expect(heldAddresses()).to.deep.equal([]);
  });

  it("leaves no address held when a later plugin fails and DEL follows, and then works", async () => {
    const binDir = join(root, "bin");
    const state = join(root, "state.json");
    mkdirSync(binDir, { mode: 0o755 });
    installFailpointPlugin(binDir);
    network = open([binDir, ...pluginDirs]);
    write([bridgePlugin(), portmap, { type: "failpoint", failpointState: state }]);
    for (const failpoint of ["error(no)", "panic(boom)", "garbage", "empty", "huge"]) {
      setFailpoints(state, { ADD: `1*${failpoint}` });
      let saved: NetworkAttachment | undefined;
      const hold = (attachment: NetworkAttachment): Promise<void> => {
        saved = attachment;
        return Promise.resolve();
      };
      const outcome = await network.setUp(request({ beforeAdd: hold })).then(
        () => "attached",
        (error: unknown) => (error as Error).name,
      );
      expect(outcome, failpoint).to.equal("CniError");
      expect(heldAddresses()).to.have.length(2);
      await network.tearDown(saved!, netnsPath);
      expect(heldAddresses(), failpoint).to.deep.equal([]);
      expect(podRules([id]), failpoint).to.deep.equal([]);
    }
    const attachment = await network.setUp(request());
    setFailpoints(state, { DEL: "2*error(busy)" });
    for (const expected of ["busy", "busy", "done"]) {
      const outcome = await network.tearDown(attachment, netnsPath).then(
        () => "done",
        (error: unknown) => (error as Error).message,
      );
      expect(outcome).to.include(expected);
    }
    expect(failpointCalls(state).map(({ verb }) => verb)).to.deep.equal(["DEL", "DEL", "DEL"]);
    expect(heldAddresses()).to.deep.equal([]);
  });

  it("gives up an ADD that hangs, and DEL still frees what it held", async () => {
    const binDir = join(root, "bin");
    const state = join(root, "state.json");
    mkdirSync(binDir, { mode: 0o755 });
    installFailpointPlugin(binDir);
    network = open([binDir, ...pluginDirs]);
    write([bridgePlugin(), { type: "failpoint", failpointState: state }]);
    setFailpoints(state, { ADD: "delay(60000)" });
    expect((await network.status()).ready).to.equal(true);
    let saved: NetworkAttachment | undefined;
    const outcome = await network
      .setUp(
        request({
          signal: AbortSignal.timeout(1500),
          beforeAdd: (attachment) => Promise.resolve(void (saved = attachment)),
        }),
      )
      .then(
        () => "attached",
        (error: unknown) => (error as { failure?: string }).failure,
      );
    expect(outcome).to.equal("aborted");
    await network.tearDown(saved!, netnsPath);
    expect(heldAddresses()).to.deep.equal([]);
  });

  it("detaches a pod from what libcni's cache says of it", async () => {
    write([bridgePlugin(), portmap, { type: "firewall" }]);
    const attachment = await network.setUp(request());
    expect(existsSync(join(root, "cache"))).to.equal(false);
    await writeLegacyCache(join(root, "cache"), attachment);
    rmSync(join(confDir, "10-test.conflist"));
    expect((await network.legacyAttachment(id)).ips).to.deep.equal(attachment.ips);
    const pod = { containerId: id, netns: netnsPath, podName: "web", podNamespace: "default" };
    await network.tearDownLegacy({ ...pod, portMappings: [] });
    expect(heldAddresses()).to.deep.equal([]);
    expect(podRules([id, ...attachment.ips.map((ip) => `${ip}/`)])).to.deep.equal([]);
    expect(await readLegacyCache(join(root, "cache"), id, "eth0")).to.deep.equal([]);
  });
});
