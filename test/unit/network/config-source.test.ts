import { expect } from "chai";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { CriError } from "../../../src/errors.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import type { Clock } from "../../../src/sys/clock.ts";
import { forkCount } from "../../../src/sys/process.ts";
import { caught, makeRecordingNetwork, recorder } from "../../support/recording-network.ts";
import type { RecordingNetwork } from "../../support/recording-network.ts";
import { ownPodId } from "../../support/cni-folder.ts";

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

  it("shows an operator which file is used, with its plugins, or why there is none", async () => {
    const network = folder.open();
    network.setPodCidr("10.1.0.0/24");
    const empty = await network.source();
    const { binDirs } = empty;
    expect(binDirs).to.include(folder.binDir);
    const from = { confDir: folder.confDir, binDirs, podCidrs: ["10.1.0.0/24"] };
    expect(empty).to.deep.include(from);
    expect(empty.problem).to.include("put the network plugin's .conflist file into");
    folder.writeChain();
    expect(await network.source()).to.deep.equal({
      ...from,
      file: join(folder.confDir, "10-net.conflist"),
      ...{ name: "net", cniVersion: "1.0.0", plugins: ["first", "second"] },
    });
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

  it("takes a plugin that does not answer VERSION at the file's word, and says so", async () => {
    const answer = (said: string): string =>
      `#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = ADD ] || { ${said}; }\n` +
      `echo '{"ips":[{"address":"10.1.2.3/24"}]}'\n`;
    folder.write("10-own.conflist", {
      cniVersion: "0.4.0",
      name: "own",
      plugins: [{ type: "script" }],
    });
    folder.write("87-podman.conflist", {
      cniVersion: "1.0.0",
      name: "podman",
      plugins: [{ type: "good" }],
    });
    folder.plugin("good", recorder());
    for (const [said, words] of [
      ["exit 1", "exit code 1 without an error object"],
      ["exit 0", "it printed nothing"],
      ["echo hello; exit 0", "its output is not JSON: hello"],
      [`echo '{"cniVersion":"0.4.0"'; exit 1`, "exit code 1"],
      [`echo '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1`, "unknown CNI_COMMAND"],
    ] as const) {
      writeFileSync(join(folder.binDir, "script"), answer(said), { mode: 0o755 });
      const lines: string[] = [];
      const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
      const network = folder.open({ log });
      for (let look = 0; look < 2; look += 1) {
        const { ready, message, notes } = await network.status();
        expect(ready, said).to.equal(true);
        expect(message, said).to.include(
          "plugin script does not answer VERSION and gets CNI 0.4.0",
        );
        expect(message, said).to.include(words).and.include("network own");
        expect(notes, said).to.have.length(1);
      }
      expect(lines, said).to.have.length(1);
      expect(lines[0], said).to.include("does not answer VERSION");
      const attachment = await network.setUp(folder.request());
      expect(attachment, said).to.include({ networkName: "own", cniVersion: "0.4.0" });
    }
    // It is asked once in a while, and believed as soon as it answers.
    const forks = forkCount();
    let nowMs = 0;
    const network = folder.open({ clock: { ...systemClock, monotonicMs: () => nowMs } });
    for (nowMs = 0; nowMs < 60_000; nowMs += 10_000) await network.status();
    expect(forkCount() - forks).to.equal(1);
    await network.status();
    expect(forkCount() - forks).to.equal(2);
    folder.plugin("script", recorder());
    nowMs += 10_000;
    expect((await network.status()).message).to.equal("");
  });

  it("says which files it passes over, and why", async () => {
    folder.write("10-own.conflist", {
      cniVersion: "1.0.0",
      name: "own",
      plugins: [{ type: "old" }],
    });
    folder.plugin("old", recorder(), ["0.3.1"]);
    folder.write("87-podman.conflist", {
      cniVersion: "1.0.0",
      name: "podman",
      plugins: [{ type: "good" }],
    });
    folder.plugin("good", recorder());
    const { ready, message } = await folder.open().status();
    expect(ready).to.equal(true);
    expect(message).to.equal(
      "CNI: passed over 10-own.conflist: plugin old knows CNI 0.3.1 but the file asks for 1.0.0",
    );
  });

  it("refuses plugins and folders that every user may write, except to detach a pod", async () => {
    folder.writeChain();
    const attachment = await folder.open().setUp(folder.request());
    for (const path of [join(folder.binDir, "second"), folder.binDir]) {
      chmodSync(path, 0o777);
      const network = folder.open();
      const { ready, message } = await network.status();
      expect(ready).to.equal(false);
      expect(message).to.include(`${path} can be written by every user of the node`);
      expect(await caught(network.setUp(folder.request()))).to.include({ kind: "Unavailable" });
      await network.tearDown(attachment, "/run/netns/pod");
      // Another runtime's pod without a saved configuration: today's detaches it.
      await network.tearDownLegacy({
        containerId: `${ownPodId}-2`,
        podName: "old",
        podNamespace: "shop",
        netns: "/run/netns/pod",
        portMappings: [],
      });
      chmodSync(path, 0o755);
    }
    expect(folder.order().filter((line) => line.includes("DEL"))).to.have.length(8);
    expect((await folder.open().status()).ready).to.equal(true);
  });

  it("refuses a plugin that any user may have added to a folder with the sticky bit, except to detach", async () => {
    folder.writeChain();
    const attachment = await folder.open().setUp(folder.request());
    const second = join(folder.binDir, "second");
    chmodSync(folder.binDir, 0o1777);
    // What root has put there nobody can replace.
    const { ready, message } = await folder.open().status();
    expect(ready).to.equal(true);
    expect(message).to.include("by every user of the node, with the sticky bit");
    const refused = async (): Promise<void> => {
      const network = folder.open();
      const status = await network.status();
      expect(status.ready).to.equal(false);
      expect(status.message).to.include(
        `${second} belongs to user 1000, and every user of the node may add programs to ${folder.binDir}`,
      );
      expect(await caught(network.setUp(folder.request()))).to.include({ kind: "Unavailable" });
      await network.tearDown(attachment, "/run/netns/pod");
    };
    chownSync(second, 1000, 1000);
    await refused();
    // A link of a user's to a program of root's.
    chownSync(second, 0, 0);
    const elsewhere = join(folder.root, "elsewhere");
    renameSync(second, elsewhere);
    symlinkSync(elsewhere, second);
    lchownSync(second, 1000, 1000);
    await refused();
  });

  it("runs plugins of another owner and tells who can change them, in the log once", async () => {
    folder.writeChain();
    const second = join(folder.binDir, "second");
    const elsewhere = join(folder.root, "elsewhere");
    const undo = (): void => {
      for (const path of [folder.binDir, second]) {
        chownSync(path, 0, 0);
        chmodSync(path, 0o755);
      }
    };
    const toElsewhere = (): void => {
      renameSync(folder.binDir, elsewhere);
      chownSync(elsewhere, 3131, 3131);
      symlinkSync(elsewhere, folder.binDir);
    };
    for (const [what, change, words] of [
      ["a folder's owner", () => chownSync(folder.binDir, 3131, 0), "bin belongs to user 3131"],
      ["a program's owner", () => chownSync(second, 3131, 0), "second belongs to user 3131"],
      ["a group", () => chmodSync(folder.binDir, 0o775), "bin can be written by group 0"],
      ["an access list", () => setAcl(second, 3131), "second can be written by group 0 or by an"],
      ["the sticky bit", () => chmodSync(folder.binDir, 0o1777), "with the sticky bit"],
      ["a folder behind a link", toElsewhere, "elsewhere belongs to user 3131"],
    ] as const) {
      change();
      const lines: string[] = [];
      const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
      const network = folder.open({ log });
      for (let look = 0; look < 3; look += 1) {
        const { ready, message } = await network.status();
        expect(ready, what).to.equal(true);
        expect(message, what).to.include(words).and.include("others than root");
      }
      await network.tearDown(await network.setUp(folder.request()), "");
      expect(lines, what).to.have.length(1);
      expect(lines[0], what).to.include(words);
      if (change !== toElsewhere) undo();
    }
    rmSync(folder.binDir);
    renameSync(elsewhere, folder.binDir);
    undo();
    expect((await folder.open().status()).message).to.equal("");
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

/** Lets one user write the file by an access list (acl(5)), which the mode shows as a group's right. */
function setAcl(path: string, uid: number): void {
  const entry = (tag: number, perm: number, id = 0xffff_ffff): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(tag, 0);
    bytes.writeUInt16LE(perm, 2);
    bytes.writeUInt32LE(id, 4);
    return bytes;
  };
  const version = Buffer.from([2, 0, 0, 0]);
  const list = [entry(1, 7), entry(2, 7, uid), entry(4, 5), entry(0x10, 7), entry(0x20, 5)];
  const value = Buffer.concat([version, ...list]).toString("hex");
  const script = `import os; os.setxattr("${path}", "system.posix_acl_access", bytes.fromhex("${value}"))`;
  execFileSync("python3", ["-c", script]);
}
