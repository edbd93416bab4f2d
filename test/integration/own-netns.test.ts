import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api_pb.js";
import { inspectNetns } from "../../src/network/netns.ts";
import { busybox } from "../support/oci-engine.ts";
import { startOciNode } from "../support/oci-node.ts";
import type { OciNode } from "../support/oci-node.ts";
import type { TestNode } from "../support/node.ts";
import {
  containerConfig,
  removePod,
  runPod,
  sandboxConfig,
  shell,
  startContainer,
} from "../support/pods.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { until } from "../support/until.ts";

const { SANDBOX_READY, SANDBOX_NOTREADY } = PodSandboxState;
const folder = "/var/run/netns";

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8" }).trim();

const infoOf = async (node: TestNode, podSandboxId: string) => {
  const { status, info } = await node.runtime.podSandboxStatus({ podSandboxId, verbose: true });
  const { netns, pid } = JSON.parse(info["info"] ?? "{}") as { netns: string; pid: number };
  return { state: status?.state, ip: status?.network?.ip, netns, pid };
};

const addressesIn = (netns: string): string[] =>
  run("nsenter", `--net=${netns}`, "ip", "-o", "addr", "show", "dev", "eth0", "scope", "global")
    .split("\n")
    .map((line) => /inet6? ([0-9a-f.:]+)/.exec(line)?.[1] ?? "");

/** bridge with an address of each family. */
function dualStack(node: TestNode): void {
  const file = join(node.cniConfDir, "10-test.conflist");
  const list = JSON.parse(readFileSync(file, "utf8")) as {
    plugins: { ipam?: { ranges: object[]; routes: object[] } }[];
  };
  const ipam = list.plugins[0]!.ipam!;
  ipam.ranges.push([{ subnet: "fd00:d0c:1::/64" }]);
  ipam.routes.push({ dst: "::/0" });
  writeFileSync(file, JSON.stringify(list));
}

describe("network namespaces of Dockline's own", function () {
  this.timeout(90_000);
  let oci: OciNode;
  let node: TestNode;

  const folderOf = tempFolder();

  before(async () => {
    const args = [`--cni-bin-dir=${folderOf.path("")},/opt/cni/bin,/usr/lib/cni`];
    oci = await startOciNode({ dockline: [] }, { node: { args } });
    ({ node } = oci);
  });
  after(async () => {
    await oci.close();
    folderOf.remove();
  });

  const isOwn = (netns: string): boolean =>
    /^\/var\/run\/netns\/dockline-[0-9a-f-]{36}$/.test(netns);

  it("has the pod's address and goes with the pod, whichever is the first pod", async () => {
    for (let round = 0; round < 3; round += 1) {
      const pod = await runPod(node);
      const { podSandboxId } = pod;
      const { state, ip, netns, pid } = await infoOf(node, podSandboxId);
      expect(state).to.equal(SANDBOX_READY);
      expect(netns).to.satisfy(isOwn);
      expect(await inspectNetns(netns)).to.equal("pod");
      expect(addressesIn(netns)).to.deep.equal([ip]);
      expect(run("stat", "-Lc", "%i", netns)).to.equal(
        run("stat", "-Lc", "%i", `/proc/${pid}/ns/net`),
      );
      const container = await startContainer(node, pod, containerConfig("sleep 1000"));
      const text = await shell(node, container, "ip -o addr");
      expect(text).to.contain(`inet ${ip}`);
      expect(text, "what the first pod is marked with").to.not.contain("2001:db8");
      await removePod(node, pod);
      expect(existsSync(netns)).to.equal(false);
    }
  });

  for (const down of [false, true]) {
    it(`outlives a restart of the pause container, address and all (Dockline down: ${down})`, async () => {
      const dnsConfig = { servers: ["10.96.0.10"], searches: ["shop.svc"], options: ["ndots:5"] };
      const pod = await runPod(node, sandboxConfig(node, { dnsConfig }));
      const { podSandboxId } = pod;
      const { ip, netns, pid } = await infoOf(node, podSandboxId);
      const container = await startContainer(node, pod, containerConfig("sleep 1000"));
      if (down) await node.kill();
      oci.engine.docker("restart", "-t", "1", podSandboxId);
      if (down) await node.start();
      await until(async () => {
        const now = await infoOf(node, podSandboxId);
        return now.pid !== pid && now.pid !== 0;
      }, 10_000);
      const now = await infoOf(node, podSandboxId);
      expect(now).to.include({ state: SANDBOX_READY, ip, netns });
      expect(addressesIn(`/proc/${now.pid}/ns/net`)).to.deep.equal([ip]);
      // A container that is made now is on the network too.
      const late = await startContainer(
        node,
        pod,
        containerConfig("sleep 1000", { metadata: { name: "late" } }),
      );
      const resolvConf = (id: string): Promise<string> => shell(node, id, "cat /etc/resolv.conf");
      for (const containerId of [container, late]) {
        await until(async () => (await resolvConf(containerId)).includes("10.96.0.10"), 10_000);
        expect(await resolvConf(containerId)).to.contain("search shop.svc");
        expect(await shell(node, containerId, "ip -o addr")).to.contain(`inet ${ip}`);
      }
      await removePod(node, pod);
      expect(existsSync(netns)).to.equal(false);
      expect(readdirSync(node.addressDir).filter((name) => name === ip)).to.deep.equal([]);
    });
  }

  it("shows a pod whose addresses did not survive a restart as NOTREADY", async () => {
    dualStack(node);
    const pod = await runPod(node);
    const { podSandboxId } = pod;
    const { netns, pid } = await infoOf(node, podSandboxId);
    const before = addressesIn(netns);
    expect(before).to.have.length(2);
    oci.engine.docker("restart", "-t", "1", podSandboxId);
    await until(async () => {
      const now = await infoOf(node, podSandboxId);
      return now.pid !== pid && now.pid !== 0;
    }, 10_000);
    const isWhole = addressesIn(netns).length === 2;
    const { state } = await infoOf(node, podSandboxId);
    expect(state).to.equal(isWhole ? SANDBOX_READY : SANDBOX_NOTREADY);
    if (isWhole) {
      // Somebody else takes one away, and restarts it.
      run("nsenter", `--net=${netns}`, "ip", "addr", "flush", "dev", "eth0", "scope", "global");
      oci.engine.docker("restart", "-t", "1", podSandboxId);
      await until(
        async () => (await infoOf(node, podSandboxId)).state === SANDBOX_NOTREADY,
        10_000,
      );
    }
    await removePod(node, pod);
    expect(existsSync(netns)).to.equal(false);
  });

  it("collects at a start what no record has, and nothing else's", async () => {
    const left = "dockline-00000000-1111-4222-8333-444444444444";
    const others = ["cni-0a1b2c3d", "dockline-of-mine", "netns-test"];
    const pod = await runPod(node);
    const { netns } = await infoOf(node, pod.podSandboxId);
    await node.kill();
    for (const name of [left, ...others]) run("ip", "netns", "add", name);
    try {
      await node.start();
      await until(() => !existsSync(join(folder, left)), 15_000);
      for (const name of others) expect(await inspectNetns(join(folder, name))).to.equal("pod");
      expect(await inspectNetns(netns)).to.equal("pod");
      await removePod(node, pod);
      expect(existsSync(netns)).to.equal(false);
    } finally {
      for (const name of [left, ...others]) {
        if (existsSync(join(folder, name))) run("ip", "netns", "del", name);
      }
      rmSync(join(folder, left), { force: true });
    }
  });

  it("is made, and CNI ADD runs in it, beside the start, or after it where the engine takes IPv6 away", async () => {
    const calls = folderOf.path("calls");
    const go = folderOf.path("go");
    const list = join(node.cniConfDir, "10-test.conflist");
    const before = readFileSync(list, "utf8");
    writeFileSync(
      folderOf.path("waits"),
      [
        "#!/bin/sh",
        'case $CNI_COMMAND in VERSION) echo \'{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}\' ;;',
        `ADD) echo "$CNI_NETNS" >>${calls}; while [ ! -e ${go} ]; do sleep 0.05; done`,
        '  echo \'{"cniVersion":"1.0.0","ips":[{"address":"10.9.8.7/24"}]}\' ;; esac',
      ].join("\n"),
      { mode: 0o755 },
    );
    writeFileSync(
      list,
      JSON.stringify({ cniVersion: "1.0.0", name: "waits", plugins: [{ type: "waits" }] }),
    );
    const agent = oci.engine.docker(
      ...["run", "-d", "--net=none", "-v", `${folder}:${folder}:rslave`],
      ...[busybox, "sleep", "1000"],
    );
    const isKept = node.log().includes('"ipv6IsKept":true');
    try {
      // Docker's start waits for ADD to be under way where both run at once, and ADD for the start's end below.
      const held = node.proxy.faults.add({
        match: { method: "POST", route: /^\/containers\/\{id\}\/start$/ },
        action: "delay",
        times: 1,
        until: () => until(() => !isKept || existsSync(calls), 20_000),
      });
      const running = runPod(node);
      const isStarted = (): boolean =>
        node.proxy.requests.some(
          ({ route, status, fault }) =>
            fault !== undefined && route.endsWith("/start") && status === 204,
        );
      await until(() => existsSync(calls), 30_000);
      // An agent's pod that ran before: it opens the path while ADD runs.
      const path = readFileSync(calls, "utf8").trim();
      expect(oci.engine.docker("exec", agent, "stat", "-f", "-c", "%t", path)).to.equal("6e736673");
      await until(() => held.hits === 1 && isStarted() && existsSync(calls), 30_000);
      writeFileSync(go, "");
      const pod = await running;
      const { netns } = await infoOf(node, pod.podSandboxId);
      expect(readFileSync(calls, "utf8").trim()).to.equal(netns);
      await removePod(node, pod);
    } finally {
      oci.engine.docker("rm", "-f", agent);
      writeFileSync(go, "");
      writeFileSync(list, before);
    }
  });
});

describe("a dockerd that does not see what is pinned", function () {
  this.timeout(120_000);
  const temp = tempFolder();
  let oci: OciNode | undefined;
  after(async () => {
    await oci?.close();
    temp.remove();
  });

  it("makes the namespaces of pods itself, from the first pod on, and none is left", async () => {
    // A snap, or PrivateMounts=yes in a drop-in of docker.service.
    const dockerd = temp.path("dockerd");
    const real = process.env["DOCKLINE_TEST_DOCKERD"] ?? "dockerd";
    writeFileSync(dockerd, `#!/bin/sh\nexec unshare --mount --propagation private ${real} "$@"\n`, {
      mode: 0o755,
    });
    oci = await startOciNode({ dockline: [] }, { engine: { dockerd } });
    const { node } = oci;
    for (let round = 0; round < 2; round += 1) {
      const pod = await runPod(node);
      const { state, netns, ip } = await infoOf(node, pod.podSandboxId);
      expect(state).to.equal(SANDBOX_READY);
      expect(netns).to.match(/^\/proc\/\d+\/ns\/net$/);
      expect(addressesIn(netns)).to.deep.equal([ip]);
      await startContainer(node, pod, containerConfig("sleep 1000"));
      await removePod(node, pod);
    }
    const made = [...node.log().matchAll(/"netns":"([^"]*dockline-[^"]*)"/g)].map(
      ([, path]) => path ?? "",
    );
    expect(made).to.have.length.of.at.least(1);
    for (const path of made) expect(existsSync(path)).to.equal(false);
    expect(node.log()).to.contain("Docker makes the network namespaces of pods");
  });
});
