import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
        config,
        endpoint: { value: "unix:///a.sock", from: flags, flagOf: flags },
        cgroupDriver: { value: "systemd", from: config },
        failCgroupV1: false,
        removedFlags: [{ flag: "--network-plugin", from: flags }],
        troubles: [],
      });
    });

    it("is the source of the series by its gates, merged from all files, the flag last", async () => {
      const config = file("config.yaml", "featureGates: {PodAndContainerStatsFromCRI: true}\n");
      mkdirSync(join(folder, "drop"));
      file("drop/10-a.conf", "featureGates: {OtherGate: true}\n");
      const seriesWith = async (minor: number, ...more: string[]): Promise<string | undefined> => {
        const args = ["/usr/bin/kubelet", `--config=${config}`, ...more];
        const ofKubelet = (): Promise<string> => Promise.resolve(`Kubernetes v1.${minor}.0\n`);
        const sources = { flags: undefined, config: undefined, version: ofKubelet };
        return (await readKubelet({ ...sources, running: () => [{ pid: 4_194_305, args }] }))
          .series;
      };
      const gate = "PodAndContainerStatsFromCRI";
      expect(await seriesWith(37, `--config-dir=${join(folder, "drop")}`)).to.equal("cri");
      expect(await seriesWith(37, `--feature-gates=${gate}=false`)).to.equal("none");
      file("config.yaml", "featureGates: {AllBeta: true}\n");
      expect(await seriesWith(37)).to.equal("cri");
      expect(await seriesWith(36)).to.equal("none");
      expect(await seriesWith(37, `--feature-gates=AllBeta=true,${gate}=false`)).to.equal("none");
    });

    it("has its series by the façade only where cAdvisor asks for it", async () => {
      const config = file("config.yaml", "{}\n");
      const seriesWith = async (
        minor: number,
        facade: string,
        ...more: string[]
      ): Promise<string | undefined> => {
        const args = ["/usr/bin/kubelet", `--config=${config}`, ...more];
        const ofKubelet = (): Promise<string> => Promise.resolve(`Kubernetes v1.${minor}.0\n`);
        const sources = { flags: undefined, config: undefined, facade, version: ofKubelet };
        return (await readKubelet({ ...sources, running: () => [{ pid: 4_194_305, args }] }))
          .series;
      };
      const ours = "unix:///run/dockline/containerd.sock";
      const usual = "unix:///run/containerd/containerd.sock";
      const flag = "--containerd=/run/dockline/containerd.sock";
      expect(await seriesWith(35, ours, flag)).to.equal("facade");
      expect(await seriesWith(35, ours, "--containerd=/run/x.sock")).to.equal("none");
      expect(await seriesWith(35, ours, `--containerd=${ours}`)).to.equal("none");
      expect(await seriesWith(35, "", flag)).to.equal("none");
      expect(await seriesWith(35, ours)).to.equal("none");
      for (const minor of [35, 37]) expect(await seriesWith(minor, usual)).to.equal("facade");
      expect(await seriesWith(37, ours)).to.equal("none");
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
        flagOf: "what starts that kubelet",
      });
      expect(found.cgroupDriver).to.deep.equal({ value: "cgroupfs", from: config });
      expect(found.minor).to.equal(36);
    });

    it("is the version of the program that runs, the last of two flags, and what it has lost", async () => {
      const config = file("config.yaml", "featureGates: {PodAndContainerStatsFromCRI: true}\n");
      const instance = file("instance-config.yaml", 'containerRuntimeEndpoint: "unix:///next"\n');
      const args = [
        ...["kubelet", `--config=${config}`, "--container-runtime-endpoint=unix:///1"],
        "--container-runtime-endpoint=unix:///2",
      ];
      const asked: string[] = [];
      const found = await readKubelet({
        flags: undefined,
        config: undefined,
        kubeadm: folder,
        running: () => [{ pid: 4_194_305, args }],
        version: (program) => {
          asked.push(program);
          return Promise.resolve("Kubernetes v1.37.2\n");
        },
      });
      expect(asked).to.deep.equal(["/proc/4194305/exe"]);
      expect(found).to.deep.include({
        minor: 37,
        endpoint: {
          value: "unix:///2",
          from: "the running kubelet, pid 4194305",
          flagOf: "what starts that kubelet",
        },
        nextEndpoint: { value: "unix:///next", from: instance },
        series: "cri",
      });
      const flags = file("flags.env", 'KUBELET_EXTRA_ARGS="--containerd=/run/x --v=2"\n');
      const old = await readKubelet({ flags, config, running: nobody, version });
      expect(old.lostFlags).to.deep.equal([{ flag: "--containerd", from: flags, since: 37 }]);
      expect(old).to.not.have.any.keys("minor", "series");
    });

    it("keeps images where neither its garbage collection nor an eviction removes any", async () => {
      const keeps = async (settings: object): Promise<boolean | undefined> => {
        const config = file("config.yaml", JSON.stringify(settings));
        return (await readKubelet({ flags: undefined, config, running: nobody, version }))
          .keepsImages;
      };
      const off = {
        imageGCHighThresholdPercent: 100,
        evictionHard: { "imagefs.available": "0%", "nodefs.available": "0%" },
      };
      expect(await keeps(off)).to.equal(true);
      expect(await keeps({ ...off, imageMaximumGCAge: "0s" })).to.equal(true);
      for (const changes of [
        { imageGCHighThresholdPercent: 85 },
        { imageMaximumGCAge: "168h" },
        { evictionHard: { "nodefs.available": "0%" } },
        { evictionHard: undefined },
      ]) {
        expect(await keeps({ ...off, ...changes }), JSON.stringify(changes)).to.equal(undefined);
      }
    });

    it("is reported as broken or missing where it is", async () => {
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
    const nri = async (text: string): Promise<boolean | undefined> =>
      (await readDaemon(endpoint, file("daemon.json", text))).nri;
    expect(await nri('{"nri-opts":{"enable":true}}')).to.equal(true);
    for (const text of ['{"nri-opts":{"enable":false}}', '{"nri-opts":null}', "{}"]) {
      expect(await nri(text)).to.equal(undefined);
    }
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
    chownSync(join(bin, "bridge"), 3131, 0);
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
    expect(found.warnings).to.deep.equal([`${join(bin, "bridge")} belongs to user 3131`]);
    expect(found.problem).to.be.a("string");
    for (const name of ["bridge", "host-local", "portmap"]) {
      writeFileSync(join(bin, name), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
      chmodSync(join(bin, name), 0o755);
    }
    const silent = await readCni(config);
    expect(silent.problem).to.equal(undefined);
    expect(silent.notes, "the broken file is reported by itself").to.have.length(2);
    expect(silent.notes?.[0]).to.match(/^plugin bridge does not answer VERSION/);
    expect(silent.configWarnings).to.deep.equal([]);
    chownSync(conf, 3131, 0);
    chmodSync(join(conf, "10-net.conflist"), 0o664);
    chmodSync(join(conf, "05-bad.conflist"), 0o666);
    expect((await readCni(config)).configWarnings, "of what is used").to.deep.equal([
      `${conf} belongs to user 3131`,
      `${join(conf, "10-net.conflist")} can be written by group 0 or by an access control list`,
    ]);
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
