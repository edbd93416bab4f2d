import { expect } from "chai";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkAttachment } from "../../../src/network/attachment.ts";
import { CniError } from "../../../src/network/cni-error.ts";
import type { GivenUp } from "../../../src/state/given-up.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { forkCount } from "../../../src/sys/process.ts";
import {
  addResult,
  caught,
  makeRecordingNetwork,
  recorder,
} from "../../support/recording-network.ts";
import type { RecordingNetwork } from "../../support/recording-network.ts";
import { ownPodId } from "../../support/cni-folder.ts";

describe("network", () => {
  let folder: RecordingNetwork;

  beforeEach(() => (folder = makeRecordingNetwork()));
  afterEach(() => folder.remove());

  it("adds through the chain with the spec's requests and the service's whole environment", async () => {
    folder.writeChain();
    const path = `/opt/bin:${process.env["PATH"] ?? ""}`;
    const network = folder.open({
      environment: { PATH: path, KUBECONFIG: "/etc/k", CNI_ARGS: "stale", CNI_COMMAND: "DEL" },
    });
    const before: NetworkAttachment[] = [];
    const attachment = await network.setUp(
      folder.request({
        portMappings: [
          { hostPort: 8080, containerPort: 80, protocol: "tcp", hostIp: "" },
          { hostPort: 0, containerPort: 81, protocol: "udp", hostIp: "" },
        ],
        bandwidth: { egressRate: 5000 },
        beforeAdd: (saved) => {
          expect(() => folder.order()).to.throw("ENOENT");
          before.push(saved);
          return Promise.resolve();
        },
      }),
    );
    expect(attachment.ips).to.deep.equal(["10.1.2.3", "fd00::3"]);
    expect(attachment.result).to.have.nested.property("dns.nameservers[0]", "10.0.0.1");
    expect(before).to.have.length(1);
    expect(before[0]).to.deep.include({ networkName: "net", cniVersion: "1.0.0", ips: [] });
    expect(JSON.parse(JSON.stringify(attachment))).to.deep.equal(attachment);

    expect(folder.seen("first", "ADD")).to.deep.equal({
      type: "first",
      mtu: 1400,
      name: "net",
      cniVersion: "1.0.0",
    });
    expect(folder.seen("second", "ADD")).to.deep.equal({
      type: "second",
      name: "net",
      cniVersion: "1.0.0",
      prevResult: addResult,
      runtimeConfig: {
        portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "" }],
        bandwidth: { egressRate: 5000, egressBurst: 2147483647 },
      },
    });
    const environment = readFileSync(join(folder.binDir, "first.ADD.env"), "utf8");
    const names = environment.split("\n").map((line) => line.slice(0, line.indexOf("=")));
    expect(names.filter((name) => name.length > 1 && name !== "PWD" && name !== "SHLVL")).to.eql([
      "CNI_ARGS",
      "CNI_COMMAND",
      "CNI_CONTAINERID",
      "CNI_IFNAME",
      "CNI_NETNS",
      "CNI_PATH",
      "KUBECONFIG",
      "PATH",
    ]);
    expect(environment).to.include(`\nPATH=${path}\n`);
    expect(environment).to.include("\nCNI_COMMAND=ADD\n");
    expect(environment).to.include(
      "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;" +
        `K8S_POD_INFRA_CONTAINER_ID=${ownPodId};K8S_POD_UID=u-1\n`,
    );
  });

  it("forks once for each plugin of a chain once the configuration is known", async () => {
    folder.writeChain();
    const network = folder.open();
    expect(await network.status()).to.deep.equal({ ready: true, reason: "", message: "" });
    const start = forkCount();
    await network.setUp(folder.request());
    expect(forkCount() - start).to.equal(2);
    await network.status();
    expect(forkCount() - start).to.equal(2);
  });

  it("deletes in reverse with the saved configuration when the folder is empty, and again", async () => {
    folder.writeChain();
    const network = folder.open();
    const attachment = await network.setUp(folder.request());
    rmSync(folder.confDir, { recursive: true });
    rmSync(join(folder.root, "order"));
    const restarted = folder.open();
    await restarted.tearDown(attachment, attachment.netns);
    folder.netns = "gone";
    await restarted.tearDown(attachment, attachment.netns);
    expect(folder.order()).to.deep.equal([
      "second DEL /run/netns/pod",
      "first DEL /run/netns/pod",
      "second DEL ",
      "first DEL ",
    ]);
    expect(folder.seen("first", "DEL")["prevResult"]).to.deep.equal(attachment.result);
    expect(folder.seen("second", "DEL")["runtimeConfig"]).to.deep.equal({ portMappings: [] });
  });

  it("never gives a plugin the host's own namespace", async () => {
    folder.writeChain();
    const network = folder.open();
    const attachment = await network.setUp(folder.request());
    folder.netns = "host";
    await network.tearDown(attachment, attachment.netns);
    expect(folder.order().slice(-1)).to.deep.equal(["first DEL "]);
    let saved = false;
    const error = await caught(
      network.setUp(folder.request({ beforeAdd: () => Promise.resolve(void (saved = true)) })),
    );
    expect(error).to.be.instanceOf(CniError);
    expect(saved).to.equal(false);
  });

  it("does not begin when the intent could not be saved", async () => {
    folder.writeChain();
    const failing = folder.request({ beforeAdd: () => Promise.reject(new Error("disk full")) });
    expect((await caught(folder.open().setUp(failing))).message).to.equal("disk full");
    expect(() => folder.order()).to.throw("ENOENT");
  });

  it("has DEL succeed when the plugin knows nothing of the container, and fail when it is missing", async () => {
    folder.writeChain();
    const network = folder.open();
    const attachment = await network.setUp(folder.request());
    const answer = (code: number, msg: string): string =>
      `echo '${JSON.stringify({ cniVersion: "1.0.0", code, msg })}'; exit 1`;
    folder.plugin("second", answer(3, "unknown container"));
    await network.tearDown(attachment, attachment.netns);
    expect(folder.order().at(-1)).to.equal("first DEL /run/netns/pod");

    folder.plugin("second", answer(999, 'failed to Statfs "x": no such file or directory'));
    expect(await caught(network.tearDown(attachment, attachment.netns))).to.include({ code: 999 });
    await network.tearDown(attachment, "");
    folder.plugin("second", answer(999, "open /etc/net/kubeconfig: no such file or directory"));
    expect(await caught(network.tearDown(attachment, ""))).to.include({ code: 999 });

    rmSync(join(folder.binDir, "second"));
    expect(await caught(network.tearDown(attachment, attachment.netns))).to.include({
      failure: "missing",
    });
  });

  it("gives DEL up for a plugin that is in no folder, without the namespace and for no other reason", async () => {
    folder.writeChain();
    const given: GivenUp[] = [];
    let nowMs = 0;
    const network = folder.open({
      clock: { ...systemClock, monotonicMs: () => nowMs },
      givenUp: (one) => {
        given.push(one);
        return Promise.resolve();
      },
    });
    const attachment = await network.setUp(folder.request());
    rmSync(join(folder.binDir, "second"));
    const { netns } = attachment;
    expect(await caught(network.tearDown(attachment, netns))).to.include({ failure: "missing" });
    expect(await caught(network.tearDown(attachment, ""))).to.include({ failure: "missing" });
    expect(given).to.deep.equal([]);
    nowMs = 60_000;
    await network.tearDown(attachment, "");
    expect(folder.order().at(-1), "the others get their DEL").to.equal("first DEL ");
    expect(given).to.have.length(1);
    expect(given[0]).to.deep.include({
      containerId: ownPodId,
      pod: "shop/web",
      network: "net",
      plugin: "second",
      addresses: attachment.ips,
    });
    expect(given[0]?.reason).to.include("no such program");

    // There, but not to be executed: somebody is at it.
    folder.plugin("second", "exit 0");
    chmodSync(join(folder.binDir, "second"), 0o644);
    expect(await caught(network.tearDown(attachment, ""))).to.include({ failure: "missing" });
    folder.plugin("second", "exit 1");
    expect(await caught(network.tearDown(attachment, ""))).to.be.instanceOf(CniError);
    expect(given).to.have.length(1);
  });

  it("gives a failing DEL up when ADD has failed and the namespace is gone, or when told to", async () => {
    folder.writeChain();
    const given: GivenUp[] = [];
    const network = folder.open({
      givenUp: (one) => {
        given.push(one);
        return Promise.resolve();
      },
    });
    const complete = await network.setUp(folder.request());
    const { result, ...begun } = complete;
    expect(result).to.not.equal(undefined);
    const incomplete = { ...begun, ips: [], addFailed: true };
    folder.plugin("second", "exit 1");
    const { netns } = complete;
    expect(await caught(network.tearDown(incomplete, netns))).to.be.instanceOf(CniError);
    expect(await caught(network.tearDown(complete, ""))).to.be.instanceOf(CniError);
    await network.tearDown(incomplete, "");
    await network.tearDown(complete, "", true);
    expect(given.map(({ plugin, addresses }) => [plugin, addresses])).to.deep.equal([
      ["second", []],
      ["second", complete.ips],
    ]);
  });

  it("passes valid attachments to GC of spec 1.1 only, those of other runtimes too", async () => {
    folder.writeChain();
    const network = folder.open();
    const valid = () => Promise.resolve([{ containerId: ownPodId, ifName: "eth0" }]);
    expect(await network.gc(valid)).to.include("spoken to in CNI 1.0.0");
    expect(() => folder.order()).to.throw("ENOENT");
    folder.writeChain({ cniVersion: "1.1.0" });
    const results = join(folder.root, "other", "results");
    mkdirSync(results, { recursive: true });
    const cached = { kind: "cniCacheV1", containerId: "c1", ifName: "eth1", networkName: "net" };
    writeFileSync(join(results, "net-c1-eth1"), JSON.stringify(cached));
    writeFileSync(join(results, "net-half-written-eth0"), "{");
    writeFileSync(join(results, "other-c2-eth0"), JSON.stringify({ ...cached, containerId: "c2" }));
    expect(await network.gc(valid)).to.equal(undefined);
    const told = [
      { containerID: ownPodId, ifname: "eth0" },
      { containerID: "c1", ifname: "eth1" },
      { containerID: "half-written", ifname: "eth0" },
    ];
    expect(folder.seen("second", "GC")["cni.dev/valid-attachments"]).to.have.deep.members(told);
    expect(folder.seen("first", "GC")["cni.dev/attachments"]).to.have.deep.members(told);
    expect(folder.order()).to.deep.equal(["first GC ", "second GC "]);
    // Each plugin has its turn, whatever another one says.
    folder.plugin("first", "exit 1");
    expect(await caught(network.gc(valid))).to.include({ plugin: "first", verb: "GC" });
    expect(folder.order().at(-1)).to.equal("second GC ");
    folder.writeChain({ cniVersion: "1.1.0", disableGC: true });
    rmSync(join(folder.root, "order"));
    expect(await network.gc(valid)).to.include("disableGC");
    expect(() => folder.order()).to.throw("ENOENT");
  });

  it("runs GC beside no ADD: it does not begin beside one, and one that comes waits", async () => {
    folder.writeChain({ cniVersion: "1.1.0" });
    const network = folder.open();
    const go = join(folder.root, "go");
    folder.plugin("first", `until [ -e ${go} ]; do sleep 0.05; done\n${recorder()}`);
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const adding = network.setUp(
      folder.request({ beforeAdd: () => Promise.resolve().then(begin) }),
    );
    await begun;
    const none = () => Promise.resolve([]);
    expect(await caught(network.gc(none))).to.include({ kind: "Unavailable" });
    writeFileSync(go, "");
    await adding;
    rmSync(join(folder.root, "order"));
    let added: Promise<unknown> | undefined;
    await network.gc(async () => {
      // Attached before the plugins are through, it would be dropped.
      added = network.setUp(folder.request({ containerId: `${ownPodId}-2` }));
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [];
    });
    expect(folder.order()).to.deep.equal(["first GC ", "second GC "]);
    await added;
    expect(folder.order()).to.have.length(4);
  });

  it("offers the pod's cgroup, annotations and names to the plugins that declare them", async () => {
    folder.writeChain({
      plugins: [
        { type: "first", capabilities: { cgroupPath: true, aliases: true } },
        { type: "second", capabilities: { "io.kubernetes.cri.pod-annotations": true } },
      ],
    });
    const network = folder.open();
    const annotations = { "k8s.v1.cni.cncf.io/networks": "a,b", empty: "" };
    const cgroupPath = "/kubepods.slice/kubepods-pod1.slice";
    const attachment = await network.setUp(folder.request({ cgroupPath, annotations }));
    expect(folder.seen("first", "ADD")["runtimeConfig"]).to.deep.equal({
      cgroupPath,
      aliases: ["web"],
    });
    const second = { "io.kubernetes.cri.pod-annotations": annotations };
    expect(folder.seen("second", "ADD")["runtimeConfig"]).to.deep.equal(second);
    await network.tearDown(attachment, attachment.netns);
    expect(folder.seen("second", "DEL")["runtimeConfig"], "as at ADD").to.deep.equal(second);

    await network.setUp(folder.request({ cgroupPath: "", annotations: {} }));
    expect(folder.seen("first", "ADD")["runtimeConfig"]).to.deep.equal({ aliases: ["web"] });
    expect(folder.seen("second", "ADD")["runtimeConfig"]).to.deep.equal({
      "io.kubernetes.cri.pod-annotations": {},
    });
    folder.writeChain();
    const plain = await network.setUp(folder.request({ annotations }));
    expect(JSON.stringify(plain), "no copy for nobody").to.not.include("cncf.io");
  });
});
