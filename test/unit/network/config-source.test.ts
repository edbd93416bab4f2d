import { expect } from "chai";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CriError } from "../../../src/errors.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import type { Clock } from "../../../src/sys/clock.ts";
import { caught, makeRecordingNetwork, recorder } from "../../support/recording-network.ts";
import type { RecordingNetwork } from "../../support/recording-network.ts";

describe("network configuration and status", () => {
  let folder: RecordingNetwork;

  beforeEach(() => (folder = makeRecordingNetwork()));
  afterEach(() => folder.remove());

  it("reports NetworkReady false with the folder to fill, and takes a configuration that comes", async () => {
    const network = folder.open();
    const empty = await network.status();
    expect(empty).to.include({ ready: false, reason: "NetworkPluginNotReady" });
    expect(empty.message).to.include(folder.confDir).and.to.include(folder.binDir);
    expect(await caught(network.setUp(folder.request()))).to.include({ kind: "Unavailable" });
    folder.writeChain();
    expect((await network.status()).ready).to.equal(true);
    rmSync(join(folder.confDir, "10-net.conflist"));
    expect((await network.status()).ready).to.equal(false);
    rmSync(folder.confDir, { recursive: true });
    expect((await network.status()).message).to.include("does not exist");
  });

  it("takes the first valid file by name and says what is wrong with the others", async () => {
    folder.write("00-bad.conflist", "{");
    folder.write("01-slash.conf", { cniVersion: "1.0.0", name: "x", type: "../../tmp/x" });
    folder.write("02-missing.conf", { cniVersion: "1.0.0", name: "x", type: "absent" });
    folder.write("03-old.conflist", { cniVersion: "1.1.0", name: "x", plugins: [{ type: "old" }] });
    folder.write("04-name.conf", { cniVersion: "1.0.0", name: "../x", type: "old" });
    folder.plugin("old", recorder(), ["0.3.1", "0.4.0"]);
    const network = folder.open();
    const { message } = await network.status();
    expect(message).to.match(/00-bad.conflist: not valid JSON/);
    expect(message).to.match(/01-slash.conf: a plugin type is not a plain file name/);
    expect(message).to.match(/02-missing.conf: CNI plugin absent VERSION: no such program/);
    expect(message).to.include("and 2 more");

    folder.write("90-good.conf", { cniVersion: "0.3.1", name: "single", type: "old" });
    const attachment = await network.setUp(folder.request());
    expect(attachment).to.include({ networkName: "single", cniVersion: "0.3.1" });
    expect(attachment.plugins).to.have.length(1);
    await network.tearDown(attachment, "");
    expect(folder.seen("old", "DEL")).not.to.have.property("prevResult");
    await network.check(attachment);
    expect(folder.order().join()).not.to.include("CHECK");
  });

  it("speaks the newest version that file and plugins share, and adds the files of spec 1.1", async () => {
    folder.writeChain({ cniVersions: ["0.4.0", "1.0.0", "1.1.0", "9.0.0"] });
    folder.plugin("second", recorder(), ["0.3.1", "0.4.0"]);
    mkdirSync(join(folder.confDir, "net"));
    folder.write("net/10-more.conf", { type: "third" });
    folder.plugin("third", recorder());
    const attachment = await folder.open().setUp(folder.request());
    expect(attachment.cniVersion).to.equal("0.4.0");
    expect(attachment.plugins.map(({ type }) => type)).to.eql(["first", "second", "third"]);
    folder.writeChain({ loadOnlyInlinedPlugins: "true" });
    expect((await folder.open().setUp(folder.request())).plugins).to.have.length(2);
  });

  it("refuses plugins and folders that others may write", async () => {
    folder.writeChain();
    for (const path of [join(folder.binDir, "second"), folder.binDir]) {
      chmodSync(path, 0o775);
      const { ready, message } = await folder.open().status();
      expect(ready).to.equal(false);
      expect(message).to.include("can be written by others than root");
      chmodSync(path, 0o755);
    }
    expect((await folder.open().status()).ready).to.equal(true);
  });

  it("needs the node's ranges when a plugin takes them, one set for each family", async () => {
    folder.writeChain({ plugins: [{ type: "first", capabilities: { ipRanges: true } }] });
    const network = folder.open();
    expect((await network.status()).message).to.include("--pod-cidr");
    expect(() => network.setPodCidr("10.1.0.0/33")).to.throw(CriError);
    network.setPodCidr("10.1.2.0/24,fd00:1::/64");
    network.setPodCidr("");
    expect((await network.status()).ready).to.equal(true);
    await network.setUp(folder.request());
    expect(folder.seen("first", "ADD")["runtimeConfig"]).to.deep.equal({
      ipRanges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00:1::/64" }]],
    });
  });

  it("asks STATUS of spec 1.1 at most every 10 s and forgives a stumble", async () => {
    folder.writeChain({ cniVersion: "1.1.0" });
    let nowMs = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
    const network = folder.open({ clock });
    expect((await network.status()).ready).to.equal(true);
    await network.status();
    expect(folder.order()).to.deep.equal(["first STATUS ", "second STATUS "]);
    folder.plugin("second", `echo '{"code":50,"msg":"agent is down"}'; exit 1`);
    nowMs = 10_001;
    expect((await network.status()).ready).to.equal(true);
    nowMs = 20_002;
    const { ready, message } = await network.status();
    expect(ready).to.equal(false);
    expect(message).to.include("second STATUS: agent is down (code 50)");
  });

  it("is not led by a damaged file in the plugin folder of the list", async () => {
    folder.writeChain();
    mkdirSync(join(folder.confDir, "net"));
    writeFileSync(join(folder.confDir, "net", "x.conf"), "[]");
    expect((await folder.open().status()).message).to.include("x.conf: not a JSON object");
  });
});
