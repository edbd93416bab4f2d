import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { tmpdir } from "node:os";
import { expect } from "chai";
import { flagIn, planEndpoint } from "../../../../src/admin/kubelet/endpoint.ts";
import {
  environmentFiles,
  readKubeletFiles,
  unitFiles,
  wordsOf,
} from "../../../../src/admin/kubelet/files.ts";
import type { KubeletFiles } from "../../../../src/admin/kubelet/files.ts";
import type { TextFile } from "../../../../src/admin/text-file.ts";
import { inEffect } from "../../../../src/admin/kubelet/in-effect.ts";
import { kubeletSteps } from "../../../../src/admin/kubelet/steps.ts";
import type { Units } from "../../../../src/admin/systemd-units.ts";

const theirs = "unix:///var/run/cri-dockerd.sock";
const ours = "unix:///run/dockline/dockline.sock";
const packaged = "/usr/lib/systemd/system/kubelet.service";
const own = "/etc/systemd/system/kubelet.service.d/override.conf";

const nodeOf = (part: Partial<KubeletFiles>): KubeletFiles => ({
  ...{ flags: [], units: [], config: undefined, dropIns: [], instance: undefined },
  ...{ instancePath: "/i", running: undefined, troubles: [] },
  ...part,
});

describe("the kubelet's files", () => {
  let folder: string;
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-kubelet-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("are, of systemd, those in the strongest folder, drop-in files by name", () => {
    const [weak, strong] = [join(folder, "weak"), join(folder, "strong")];
    file("weak/kubelet.service", "");
    file("weak/kubelet.service.d/10-kubeadm.conf", "");
    const last = file("weak/kubelet.service.d/30-last.conf", "");
    const unit = file("strong/kubelet.service", "");
    const masking = file("strong/kubelet.service.d/10-kubeadm.conf", "");
    const middle = file("strong/kubelet.service.d/20-own.conf", "");
    expect(unitFiles([weak, strong])).to.deep.equal([unit, masking, middle, last]);
    expect(unitFiles([join(folder, "none")])).to.deep.equal([]);
  });

  it("do not count the package's command line that an override takes back", () => {
    const text = `[Service]\nExecStart=/usr/bin/kubelet \\\n  --container-runtime-endpoint=${theirs}\nRestart=always\n`;
    const override = `[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --container-runtime-endpoint=${theirs}\n`;
    const units: TextFile[] = [
      { path: packaged, text },
      { path: own, text: override },
    ];
    expect(inEffect(units)[0]?.text).to.equal("[Service]\n\nRestart=always\n");
    const plan = planEndpoint(nodeOf({ units: inEffect(units) }), ours, 36);
    expect(plan.obstacles).to.deep.equal([]);
    expect(plan.edits.map(({ path }) => path)).to.deep.equal([own]);
    // Without the empty one systemd has two command lines, and refuses the unit.
    const [first] = inEffect([units[0]!, { path: own, text: "[Service]\nExecStart=/x\n" }]);
    expect(first?.text).to.equal(text);
  });

  it("of a package count without the variables that a later file sets again", () => {
    const conf = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf";
    const flag = `--container-runtime-endpoint=${theirs}`;
    const text = `[Service]\nEnvironment="KUBELET_EXTRA_ARGS=${flag}" A=1\nExecStart=/usr/bin/kubelet $A\n`;
    const plan = (text_: string, file = ""): string[] => {
      const units = inEffect(
        [
          { path: conf, text },
          { path: own, text: text_ },
        ],
        [{ path: "/etc/default/kubelet", text: file }],
      );
      return planEndpoint(nodeOf({ units }), ours, 36).obstacles;
    };
    const packages = /is a package's/;
    expect(plan("[Service]\n").join()).to.match(packages);
    expect(plan('[Service]\nEnvironment="A=2"\n').join()).to.match(packages);
    for (const taken of [
      'Environment="KUBELET_EXTRA_ARGS=--v=2"\n',
      "Environment=B=1 \\\n  KUBELET_EXTRA_ARGS=--v=2\n",
      "Environment=\n",
    ])
      expect(plan(`[Service]\n${taken}`).join(), taken).to.not.match(packages);
    expect(plan("[Service]\n", "KUBELET_EXTRA_ARGS=--v=2\n").join()).to.not.match(packages);
    const [first] = inEffect([
      { path: conf, text },
      { path: own, text: "Environment=KUBELET_EXTRA_ARGS=\n" },
    ]);
    expect(first?.text).to.equal("[Service]\nEnvironment=A=1\nExecStart=/usr/bin/kubelet $A\n");
  });

  it("are those that the unit names beside the usual ones", () => {
    const unit = (text: string): TextFile => ({ path: packaged, text });
    const text =
      "[Service]\nEnvironmentFile=-/etc/kubernetes/kubelet.env\nEnvironmentFile=/a\n#EnvironmentFile=/no\n";
    expect(environmentFiles([unit(text)])).to.deep.equal(["/etc/kubernetes/kubelet.env", "/a"]);
    const again = unit("EnvironmentFile=\nEnvironmentFile= /b\nEnvironmentFile=/c/*.env\n");
    expect(environmentFiles([unit(text), again])).to.deep.equal(["/b"]);
  });

  it("of kubeadm are in its own folder, wherever the kubelet has its configuration", async () => {
    const config = file("kubelet-config.yaml", "port: 1\n");
    const none = { flags: undefined, config: undefined };
    const running = { pid: 7, args: ["kubelet", `--config=${config}`] };
    const files = await readKubeletFiles(none, running);
    expect(files.config?.path).to.equal(config);
    expect(files.instancePath).to.equal("/var/lib/kubelet/instance-config.yaml");
    const named = { flags: undefined, config };
    const here = await readKubeletFiles(named, undefined);
    expect(here.instancePath).to.equal("/var/lib/kubelet/instance-config.yaml");
    // The files of another node, which the doctor is given, are where somebody has put them.
    const elsewhere = await readKubeletFiles(named, undefined, true);
    expect(elsewhere.instancePath).to.equal(join(folder, "instance-config.yaml"));
  });

  it("are where the running kubelet has them, which may have another folder or root", async () => {
    const proc = join(folder, "proc");
    mkdirSync(join(proc, "7"), { recursive: true });
    symlinkSync(join(folder, "cwd"), join(proc, "7/cwd"));
    const relative = file("cwd/conf/k.yaml", "port: 1\n");
    const inside = file("proc/7/root/own/k.yaml", "port: 2\n");
    const look = (path: string): Promise<KubeletFiles> =>
      readKubeletFiles(
        { flags: undefined, config: undefined, proc },
        { pid: 7, args: ["kubelet", `--config=${path}`] },
      );
    expect((await look("conf/k.yaml")).config?.path).to.equal(relative);
    expect((await look("/own/k.yaml")).config?.path).to.equal(inside);
    expect((await look("/own/k.yaml")).troubles).to.deep.equal([]);
    const none = await look("/nowhere/k.yaml");
    expect(none.config).to.equal(undefined);
    expect(none.troubles.join()).to.match(/^\/nowhere\/k\.yaml is not there, and the running/);
    // Nobody can edit it any more once that kubelet has ended.
    const config = { path: "/proc/7/root/k.yaml", text: `containerRuntimeEndpoint: ${theirs}\n` };
    const plan = planEndpoint(nodeOf({ config }), ours, 36);
    expect(plan.edits).to.deep.equal([]);
    expect(plan.obstacles.join()).to.contain("edit it there");
  });

  it("that have a flag of the running kubelet are the ones to change it in", () => {
    const args = ["kubelet", "--cgroup-driver=cgroupfs"];
    const has = (path: string): TextFile => ({ path, text: 'A="--cgroup-driver=cgroupfs"\n' });
    const files = nodeOf({ running: { pid: 7, args }, units: [has(own)], flags: [has("/f")] });
    const from = "the running kubelet, pid 7";
    const found = { value: "cgroupfs", from, flagOf: "/f" };
    expect(flagIn(files, "--cgroup-driver")).to.deep.equal(found);
    const unknown = { ...files, units: [], flags: [] };
    expect(flagIn(unknown, "--cgroup-driver")?.flagOf).to.equal("what starts that kubelet");
  });

  it("have no configuration where the running kubelet has no flag for it", async () => {
    const none = { flags: undefined, config: undefined };
    const files = await readKubeletFiles(none, { pid: 7, args: ["kubelet", "--v=2"] });
    expect(files.config).to.equal(undefined);
    const plan = planEndpoint({ ...files, units: [], flags: [] }, ours, 37);
    expect(plan.obstacles.join()).to.contain("no file of the kubelet's is known");
  });

  describe("with a flag", () => {
    const planOf = (text: string) =>
      planEndpoint(nodeOf({ units: [{ path: own, text }] }), ours, 36);

    it("are changed in every form of it", () => {
      for (const text of [
        `ExecStart=/usr/bin/kubelet --container-runtime-endpoint="${theirs}" --v=2\n`,
        `ExecStart=/usr/bin/kubelet --container-runtime-endpoint '${theirs}'\n`,
        `ExecStart=/usr/bin/kubelet --container-runtime-endpoint\t${theirs}\n`,
        `ExecStart=/usr/bin/kubelet --container-runtime-endpoint=${theirs} \\\n  --v=2\n`,
        `Environment="A=--v=2" "B=--container-runtime-endpoint=${theirs}"\n`,
        "ExecStart=/usr/bin/kubelet --container-runtime-endpoint=/run/cri-dockerd.sock\n",
      ]) {
        const { edits, obstacles } = planOf(text);
        expect(obstacles, text).to.deep.equal([]);
        expect(edits[0]?.after, text).to.equal(
          text.replace(/(?:unix:\/\/)?(?:\/var)?\/run\/cri-dockerd\.sock/, ours),
        );
        const word = wordsOf(edits[0]?.after ?? "").join(" ");
        expect(word, text).to.match(new RegExp(`--container-runtime-endpoint[= ]${ours}`));
      }
    });

    it("stand in the way where the value is on the next line, and stay as they are", () => {
      const text = `ExecStart=/usr/bin/kubelet --container-runtime-endpoint \\\n  ${theirs}\n`;
      const { edits, obstacles } = planOf(text);
      expect(edits).to.deep.equal([]);
      expect(obstacles.join()).to.contain(`${own}: --container-runtime-endpoint cannot be changed`);
    });

    it("of dockershim in a comment have none", () => {
      const text = `# --network-plugin=cni went\nA=--container-runtime-endpoint=${theirs} --cni-bin-dir=/b\n`;
      const [edit] = planOf(text).edits;
      expect(edit?.removed).to.deep.equal(["--cni-bin-dir"]);
      expect(edit?.after).to.contain("# --network-plugin=cni went\n");
    });
  });

  it("are read by systemd again also where the operator has named one of its own", async () => {
    const flags = file(
      "etc/systemd/system/kubelet.service.d/20-docker.conf",
      `[Service]\nEnvironment="KUBELET_EXTRA_ARGS=--network-plugin=cni --container-runtime-endpoint=${theirs}"\n`,
    );
    const files = await readKubeletFiles({ flags, config: undefined }, undefined);
    const state = { load: "loaded", active: "inactive", file: "enabled", command: [], pulls: [] };
    const units: Units = new Map([["kubelet.service", state]]);
    const steps = kubeletSteps({ files, minor: 36 }, ours, units);
    expect(steps.map(({ commands }) => commands?.join())).to.deep.equal([
      ...[undefined, "systemctl daemon-reload"],
    ]);
  });

  it("are read by systemd again where a run ended right after its edit", () => {
    const text = `ExecStart=/usr/bin/kubelet --container-runtime-endpoint=${ours}\n`;
    const files = nodeOf({ units: [{ path: own, text }] });
    const state = { load: "loaded", active: "inactive", file: "enabled", command: [], pulls: [] };
    const steps = (units: Units) =>
      kubeletSteps({ files, minor: 36 }, ours, units).map(({ commands }) => commands?.join());
    expect(steps(new Map([["kubelet.service", { ...state, needsReload: true }]]))).to.deep.equal([
      "systemctl daemon-reload",
    ]);
    expect(steps(new Map([["kubelet.service", state]]))).to.deep.equal([undefined]);
  });
});
