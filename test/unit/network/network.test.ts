import { expect } from "chai";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { NetworkAttachment } from "../../../src/network/attachment.ts";
import { CniError } from "../../../src/network/cni-error.ts";
import { forkCount } from "../../../src/sys/process.ts";
import {
  addResult,
  caught,
  makeRecordingNetwork,
  recorder,
} from "../../support/recording-network.ts";
import type { RecordingNetwork } from "../../support/recording-network.ts";

describe("network", () => {
  let folder: RecordingNetwork;

  beforeEach(() => (folder = makeRecordingNetwork()));
  afterEach(() => folder.remove());

  it("adds through the chain with the spec's requests and a clean environment", async () => {
    folder.writeChain();
    const network = folder.open();
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
      "PATH",
    ]);
    expect(environment).to.include(
      "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;" +
        "K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1\n",
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
    expect(await caught(network.tearDown(attachment, ""))).to.include({ failure: "missing" });
  });

  it("passes valid attachments to GC of spec 1.1 only, and not while pods are attached", async () => {
    folder.writeChain();
    const network = folder.open();
    await network.gc([]);
    expect(() => folder.order()).to.throw("ENOENT");
    folder.writeChain({ cniVersion: "1.1.0" });
    await network.gc([{ containerId: "abc", ifName: "eth0" }]);
    expect(folder.seen("second", "GC")["cni.dev/valid-attachments"]).to.deep.equal([
      { containerID: "abc", ifname: "eth0" },
    ]);
    const adding = network.setUp(
      folder.request({
        beforeAdd: async () => {
          await Promise.resolve();
        },
      }),
    );
    folder.plugin("first", `sleep 0.3\n${recorder()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await caught(network.gc([]))).to.include({ kind: "Unavailable" });
    await adding;
    folder.writeChain({ cniVersion: "1.1.0", disableGC: true });
    rmSync(join(folder.root, "order"));
    await network.gc([]);
    expect(() => folder.order()).to.throw("ENOENT");
  });

  it("runs CHECK with the result of the ADD unless the list forbids it", async () => {
    folder.writeChain();
    const network = folder.open();
    const attachment = await network.setUp(folder.request());
    await network.check(attachment);
    expect(folder.order().slice(-2)).to.deep.equal([
      "first CHECK /run/netns/pod",
      "second CHECK /run/netns/pod",
    ]);
    expect(folder.seen("first", "CHECK")["prevResult"]).to.deep.equal(attachment.result);
    folder.plugin("first", `echo '{"code":11,"msg":"link is gone"}'; exit 1`);
    expect(await caught(network.check(attachment))).to.include({ plugin: "first", code: 11 });
    await network.check({ ...attachment, disableCheck: true });
  });
});
