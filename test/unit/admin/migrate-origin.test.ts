import { expect } from "chai";
import { cgroupDriverFinding } from "../../../src/admin/kubelet/cgroup-driver.ts";
import type { KubeletFiles } from "../../../src/admin/kubelet/files.ts";
import type { FoundKubelet } from "../../../src/admin/kubelet/steps.ts";
import { migrate } from "../../../src/admin/migrate.ts";
import type { FoundContainer } from "../../../src/admin/migrate-node.ts";
import { nothingToMigrate } from "../../../src/admin/migrate-origin.ts";
import type { Traces } from "../../../src/admin/migrate-origin.ts";
import type { Units } from "../../../src/admin/systemd-units.ts";

const ours = "unix:///run/dockline/dockline.sock";
const kubelet = (minor: number | undefined, files: Partial<KubeletFiles>): FoundKubelet => ({
  minor,
  files: {
    ...{ flags: [], units: [], config: undefined, dropIns: [], instance: undefined },
    ...{ instancePath: "/i", running: undefined, troubles: [] },
    ...files,
  },
});
const config = (text: string): Partial<KubeletFiles> => ({
  config: { path: "/k/config.yaml", text },
});

describe("a node that dockline migrate --from is run on", () => {
  const units = (load: string): Units =>
    new Map([["cri-docker.service", { load }]]) as unknown as Units;
  const bare: Traces = {
    ...{ containers: [], checkpoints: 0, criDockerdRuns: false, handedBack: false },
    units: units("not-found"),
    kubelet: kubelet(
      37,
      config("containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n"),
    ),
  };
  const flags = (text: string): FoundKubelet =>
    kubelet(37, { flags: [{ path: "/etc/default/kubelet", text }] });

  it("has nothing to migrate from without a trace of the other runtime", () => {
    const finding = nothingToMigrate("cri-dockerd", ours, bare);
    expect(finding?.level).to.equal("bad");
    expect(finding?.text).to.match(/^nothing to migrate from: .*cri-dockerd.*containerd\.sock$/);
    for (const [what, traces] of Object.entries<Partial<Traces>>({
      "a process": { criDockerdRuns: true },
      "a unit": { units: units("loaded") },
      "a checkpoint": { checkpoints: 1 },
      "a hand-back": { handedBack: true },
      "a pod": { containers: [{ identity: { legacy: true } } as FoundContainer] },
      "an old kubelet": { kubelet: kubelet(23, {}) },
      "its flags": { kubelet: flags("A=--network-plugin=cni\n") },
      "its socket": {
        kubelet: flags("A=--container-runtime-endpoint=unix:///run/cri-dockerd.sock\n"),
      },
      "a switch that is done": {
        kubelet: kubelet(37, config(`containerRuntimeEndpoint: ${ours}\n`)),
      },
    })) {
      expect(nothingToMigrate("cri-dockerd", ours, { ...bare, ...traces }), what).to.equal(
        undefined,
      );
    }
  });

  it("has its cgroup driver compared with the kubelet's", () => {
    const found = (minor: number | undefined, text: string) =>
      cgroupDriverFinding("cgroupfs", kubelet(minor, config(text)));
    expect(found(30, "cgroupDriver: cgroupfs\n")).to.deep.equal({
      level: "ok",
      text: "cgroup driver cgroupfs, as in /k/config.yaml",
    });
    expect(found(30, "cgroupDriver: systemd\n").text).to.contain(
      "but systemd in /k/config.yaml: a kubelet before 1.31 loses",
    );
    expect(found(37, "cgroupDriver: systemd\n")).to.include({ level: "warn" });
    expect(found(37, "cgroupDriver: systemd\n").text).to.contain("(1.37) follows Docker");
    expect(found(undefined, "a: b\n").level).to.equal("ok");
  });

  it("is not looked at when a file of the command line is not there: exit code 2", async () => {
    let printed = "";
    const print = (text: string): void => void (printed += text);
    const write = process.stderr.write.bind(process.stderr);
    let stderr = "";
    process.stderr.write = (text) => {
      stderr += String(text);
      return true;
    };
    try {
      for (const flag of ["--kubelet-flags", "--kubelet-config"]) {
        expect(await migrate(["--from=cri-dockerd", `${flag}=/no/such/file`], print)).to.equal(2);
      }
    } finally {
      process.stderr.write = write;
    }
    expect(printed).to.equal("");
    expect(stderr).to.contain("--kubelet-config: access /no/such/file: no such file or directory");
  });
});
