import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readCni } from "../../../../src/admin/doctor/read-cni.ts";
import { hostsOf, readDaemon } from "../../../../src/admin/doctor/read-daemon.ts";
import { readDisk, readSocket } from "../../../../src/admin/doctor/read-files.ts";
import { readKubelet } from "../../../../src/admin/doctor/read-kubelet.ts";
import { loadConfig } from "../../../../src/config/load.ts";

describe("what the doctor reads", () => {
  let folder: string;
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-doctor-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  describe("of the kubelet", () => {
    const nobody = (): never[] => [];
    const version = (program: string): Promise<string> =>
      Promise.resolve(program === "/usr/bin/kubelet" ? "Kubernetes v1.36.3\n" : "");

    it("is its flags before its configuration, each with the file that says so", async () => {
      const flags = file(
        "kubeadm-flags.env",
        'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///a.sock --network-plugin=cni"\n# --cgroup-driver=cgroupfs\n',
      );
      const config = file(
        "config.yaml",
        "containerRuntimeEndpoint: unix:///b.sock\ncgroupDriver: systemd\nfailCgroupV1: false\n",
      );
      expect(await readKubelet({ flags, config, running: nobody, version })).to.deep.equal({
        sources: [flags, config],
        endpoint: { value: "unix:///a.sock", from: flags },
        cgroupDriver: { value: "systemd", from: config },
        failCgroupV1: false,
        removedFlags: [{ flag: "--network-plugin", from: flags }],
        troubles: [],
      });
    });

    it("is the running one's command line, and the file that it names", async () => {
      const config = file("config.yaml", "cgroupDriver: cgroupfs\n");
      const args = [
        "/usr/bin/kubelet",
        `--config=${config}`,
        "--container-runtime-endpoint",
        "unix:///c",
      ];
      const found = await readKubelet({
        flags: undefined,
        config: undefined,
        running: () => [{ pid: 7, args }],
        version,
      });
      expect(found.endpoint).to.deep.equal({
        value: "unix:///c",
        from: "the running kubelet, pid 7",
      });
      expect(found.cgroupDriver).to.deep.equal({ value: "cgroupfs", from: config });
      expect(found.minor).to.equal(36);
    });

    it("is told to be broken or missing where it is", async () => {
      const config = file("config.yaml", "a: b: c\n");
      const flags = join(folder, "none.env");
      const { troubles } = await readKubelet({ flags, config, running: nobody, version });
      expect(troubles).to.have.length(2);
      expect(troubles[0]).to.equal(`${flags} is not there`);
      expect(troubles[1]).to.contain(config);
    });
  });

  it("of dockerd is its file and its addresses", async () => {
    expect(hostsOf(["-H", "fd://", "--host=tcp://1:2", "-H=unix:///x", "-Htcp://3"])).to.deep.equal(
      ["fd://", "tcp://1:2", "unix:///x", "tcp://3"],
    );
    const endpoint = `unix://${folder}/nobody.sock`;
    const good = file("daemon.json", '{"hosts":["tcp://0.0.0.0:2375"],"init":true}');
    expect(await readDaemon(endpoint, good)).to.deep.include({
      path: good,
      hosts: ["tcp://0.0.0.0:2375"],
      tlsVerify: false,
    });
    for (const text of ["{,}", "[]"]) {
      expect((await readDaemon(endpoint, file("daemon.json", text))).trouble).to.be.a("string");
    }
    for (const text of ["", "{}"]) {
      expect(await readDaemon(endpoint, file("daemon.json", text))).to.not.have.property("trouble");
    }
  });

  it("of the network is each file and each program that is missing", async () => {
    const [conf, bin] = [join(folder, "conf"), join(folder, "bin")];
    mkdirSync(conf);
    mkdirSync(bin, { mode: 0o755 });
    const { config } = loadConfig({ flags: { "cni-conf-dir": conf, "cni-bin-dir": bin } });
    const list = {
      cniVersion: "1.0.0",
      name: "net",
      plugins: [{ type: "bridge", ipam: { type: "host-local" } }, { type: "portmap" }],
    };
    writeFileSync(join(conf, "05-bad.conflist"), "{");
    writeFileSync(join(conf, "10-net.conflist"), JSON.stringify(list));
    writeFileSync(join(conf, "note.txt"), "not ours");
    writeFileSync(join(bin, "bridge"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(bin, "host-local"), "#!/bin/sh\n", { mode: 0o755 });
    chmodSync(join(bin, "host-local"), 0o777);
    const found = await readCni(config);
    expect(found.files.map(({ name, network }) => [name, network])).to.deep.equal([
      ["05-bad.conflist", undefined],
      ["10-net.conflist", "net"],
    ]);
    expect(found.plugins.map(({ type, failure }) => [type, failure])).to.have.deep.members([
      ["host-local", "untrusted"],
      ["portmap", "missing"],
    ]);
    expect(found.problem).to.be.a("string");
    const none = loadConfig({ flags: { "cni-conf-dir": join(folder, "none") } });
    expect((await readCni(none.config)).folderTrouble).to.contain("does not exist");
  });

  it("of a disk is the nearest folder that is there", async () => {
    const here = await readDisk(folder, "x", false);
    const later = await readDisk(join(folder, "not", "yet"), "x", false);
    expect(later.path).to.equal(join(folder, "not", "yet"));
    expect(here.freeBytesShare).to.be.within(0, 1);
    expect(later.freeBytesShare).to.be.closeTo(here.freeBytesShare, 0.1);
    expect(here.readOnly).to.equal(false);
  });

  it("of a socket is its mode and whether somebody answers", async () => {
    const path = join(folder, "s.sock");
    expect(await readSocket(path)).to.deep.include({ mode: undefined, answers: false });
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    chmodSync(path, 0o606);
    expect(await readSocket(path)).to.deep.include({ mode: 0o606, answers: true });
    await new Promise((resolve) => server.close(resolve));
    writeFileSync(path, "");
    expect((await readSocket(path)).answers).to.equal(false);
  });
});
