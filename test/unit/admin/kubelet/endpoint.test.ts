import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  endpointOf,
  needsInstance,
  nextEndpointOf,
  planEndpoint,
  readsAnnotation,
} from "../../../../src/admin/kubelet/endpoint.ts";
import { kubeletAmong, readKubeletFiles } from "../../../../src/admin/kubelet/files.ts";
import type { KubeletFiles } from "../../../../src/admin/kubelet/files.ts";
import { kubeletSteps, tellKubeadm } from "../../../../src/admin/kubelet/steps.ts";
import { readMinor } from "../../../../src/admin/kubelet/version.ts";
import type { FoundProcess } from "../../../../src/admin/migrate-node.ts";
import { walkSteps } from "../../../../src/admin/report.ts";
import { configOf, kubeadmNodes, writeNode } from "./kubeadm-nodes.ts";

const theirs = "unix:///var/run/cri-dockerd.sock";
const ours = "unix:///run/dockline/dockline.sock";

describe("the kubelet's endpoint", () => {
  let folder: string;
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const running = (...args: string[]): FoundProcess => ({ pid: 7, args: ["kubelet", ...args] });
  const applied = async (files: KubeletFiles, endpoint: string, minor?: number): Promise<void> => {
    const steps = kubeletSteps({ files, minor }, endpoint, undefined);
    await walkSteps(steps, { apply: true, print: () => undefined });
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-kubelet-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  for (const node of kubeadmNodes(theirs)) {
    const { minor, how } = node;
    it(`is changed for now and for the next upgrade, and back (kubeadm 1.${minor}, ${how})`, async () => {
      const paths = writeNode(folder, node);
      const look = (): Promise<KubeletFiles> =>
        readKubeletFiles({ flags: paths.env, config: paths.config, kubeadm: folder }, undefined);
      const texts = (): (string | undefined)[] =>
        [paths.env, paths.config, paths.instance].map((path) =>
          existsSync(path) ? readFileSync(path, "utf8") : undefined,
        );
      const before = texts();
      expect(endpointOf(await look())?.value).to.equal(theirs);

      await applied(await look(), ours, minor);
      const after = await look();
      expect(endpointOf(after)?.value).to.equal(ours);
      // What the next upgrade makes of it: the file, or the flag that it makes the file from.
      const next = nextEndpointOf(after)?.value ?? endpointOf(after)?.value;
      expect(next).to.equal(ours);
      expect(texts().join("\n")).to.not.contain(theirs);
      expect(texts()).to.deep.equal(before.map((text) => text?.replaceAll(theirs, ours)));
      expect(planEndpoint(after, ours, minor)).to.deep.equal({ edits: [], obstacles: [] });
      expect(tellKubeadm({ files: after, minor }, ours)).to.have.length(node.annotated ? 1 : 0);

      await applied(after, theirs, minor);
      expect(texts()).to.deep.equal(before);
    });
  }

  it("gets instance-config.yaml where a kubeadm that guesses would miss it", async () => {
    const [old] = kubeadmNodes(theirs);
    const paths = writeNode(folder, old!);
    const files = await readKubeletFiles(
      { flags: paths.env, config: paths.config, kubeadm: folder },
      undefined,
    );
    expect([needsInstance(files, 37), needsInstance(files, undefined)]).to.deep.equal([
      true,
      false,
    ]);
    const empty = { path: paths.instance, text: "{}\n" };
    expect(needsInstance({ ...files, instance: empty }, 37)).to.equal(true);
    const full = { path: paths.instance, text: `containerRuntimeEndpoint: ${ours}\n` };
    expect(needsInstance({ ...files, instance: full }, 37)).to.equal(false);
    // From the flag, kubeadm 1.34 to 1.36 make it themselves.
    expect(planEndpoint(files, ours, 36).edits.map(({ path }) => path)).to.deep.equal([paths.env]);
    await applied(files, ours, 37);
    expect(readFileSync(paths.instance, "utf8")).to.equal(`containerRuntimeEndpoint: "${ours}"\n`);
    expect(readsAnnotation(files, 37)).to.equal(false);
    expect(readsAnnotation(files, 36)).to.equal(true);
    expect(readsAnnotation(files, undefined)).to.equal(true);
  });

  it("is found on the command line first, then in drop-in files, then in the configuration", async () => {
    const config = file("config.yaml", configOf("unix:///config"));
    const drop = join(folder, "drop");
    mkdirSync(join(drop, "20-more"), { recursive: true });
    file("drop/10-a.conf", "containerRuntimeEndpoint: unix:///a\n");
    file("drop/20-more/x.conf", "containerRuntimeEndpoint: unix:///b\n");
    file("drop/30-c.conf", "maxPods: 7\n");
    file("drop/40-d.yaml", "containerRuntimeEndpoint: unix:///not-read\n");
    const found = async (...args: string[]): Promise<string | undefined> =>
      endpointOf(await readKubeletFiles({ flags: undefined, config: undefined }, running(...args)))
        ?.value;
    const both = [`--config=${config}`, "--config-dir", drop];
    expect(await found(`--config=${config}`)).to.equal("unix:///config");
    expect(await found(...both)).to.equal("unix:///b");
    const twice = ["--container-runtime-endpoint=unix:///1", "--container-runtime-endpoint"];
    expect(await found(...both, ...twice, "unix:///2")).to.equal("unix:///2");
  });

  it("is changed in each drop-in file that has it, everything else byte for byte", async () => {
    const config = file("config.yaml", '{"kind":"KubeletConfiguration"}');
    mkdirSync(join(folder, "drop"));
    const text = "# ours\nmaxPods: 7 # few\ncontainerRuntimeEndpoint: 'unix:///old' # why\n";
    const conf = file("drop/10-a.conf", text);
    const args = running(`--config=${config}`, `--config-dir=${join(folder, "drop")}`);
    await applied(await readKubeletFiles({ flags: undefined, config: undefined }, args), ours, 37);
    expect(readFileSync(conf, "utf8")).to.equal(text.replace("'unix:///old'", `"${ours}"`));
    expect(readFileSync(`${conf}.before-dockline`, "utf8")).to.equal(text);
    expect(readFileSync(config, "utf8")).to.equal('{"kind":"KubeletConfiguration"}');
  });

  it("is put into the configuration where nothing names one, whatever its form", async () => {
    for (const [text, wanted] of [
      ['{"port":1}', `{"containerRuntimeEndpoint":"${ours}","port":1}`],
      ["port: 1", `port: 1\ncontainerRuntimeEndpoint: "${ours}"\n`],
      ['containerRuntimeEndpoint: ""\nport: 1\n', `containerRuntimeEndpoint: "${ours}"\nport: 1\n`],
      ["containerRuntimeEndpoint:\nport: 1\n", `containerRuntimeEndpoint: "${ours}"\nport: 1\n`],
    ] as const) {
      const config = file("config.yaml", text);
      const files = await readKubeletFiles(
        { flags: undefined, config },
        running(`--config=${config}`),
      );
      const [edit] = planEndpoint({ ...files, flags: [], units: [] }, ours, 37).edits;
      expect(edit?.after, text).to.equal(wanted);
    }
  });

  it("that only the command line has stands in the way, and a file that is no YAML", async () => {
    const config = file("config.yaml", "port: 1\n");
    const args = running(`--config=${config}`, `--container-runtime-endpoint=${theirs}`);
    const files = await readKubeletFiles({ flags: undefined, config: undefined }, args);
    const plan = planEndpoint({ ...files, flags: [], units: [] }, ours, 37);
    expect(plan.obstacles.join()).to.contain("on its command line");
    expect(plan.edits).to.deep.equal([]);
    const broken = { ...files, running: undefined, flags: [], units: [] };
    const bad = { ...broken, config: { path: "/c.yaml", text: "a: b: c" } };
    expect(planEndpoint(bad, ours, 37).obstacles.join()).to.match(/^\/c\.yaml: .*not a YAML/);
  });

  it("in a unit of the package is overridden by the operator, in one of /etc edited", () => {
    const text = `[Service]\n# --container-runtime-endpoint=unix:///no\nEnvironment="KUBELET_EXTRA_ARGS=--v=2 --container-runtime-endpoint=${theirs}"\n`;
    const node = (path: string): KubeletFiles => ({
      ...{ flags: [], units: [{ path, text }], config: undefined, dropIns: [] },
      ...{ instance: undefined, instancePath: "/i", running: undefined, troubles: [] },
    });
    const own = planEndpoint(node("/etc/systemd/system/kubelet.service.d/9.conf"), ours, 36);
    expect(own.obstacles).to.deep.equal([]);
    expect(own.edits).to.have.length(1);
    expect(own.edits[0]).to.include({ isUnit: true, after: text.replace(theirs, ours) });
    const theirsToo = planEndpoint(node("/usr/lib/systemd/system/kubelet.service"), ours, 36);
    expect(theirsToo.edits).to.deep.equal([]);
    expect(theirsToo.obstacles.join()).to.contain("systemctl edit kubelet");
  });

  it("is that of the kubelet, and not of a program with a name like its own", () => {
    const found = [
      { pid: 1, args: ["/x/kubelet-csr-approver"] },
      { pid: 2, args: ["/usr/bin/kubelet"] },
    ];
    expect(kubeletAmong(found)?.pid).to.equal(2);
    expect(kubeletAmong(found.slice(0, 1))).to.equal(undefined);
  });
});

describe("the kubelet's version", () => {
  it("is that of the program that runs, and else of the one that its unit starts", async () => {
    const asked: string[] = [];
    const version = (program: string): Promise<string> => {
      asked.push(program);
      return Promise.resolve(program === "/proc/7/exe" ? "Kubernetes v1.37.2\n" : "");
    };
    const started = { pid: 7, args: ["kubelet"] };
    expect(await readMinor(started, { version })).to.equal(37);
    expect(asked).to.deep.equal(["/proc/7/exe"]);
    const unit = { version, unitProgram: () => Promise.resolve("/proc/7/exe") };
    expect(await readMinor(undefined, unit)).to.equal(37);
    expect(await readMinor({ pid: 8, args: ["kubelet"] }, { version })).to.equal(undefined);
    expect(asked.slice(1)).to.deep.equal(["/proc/7/exe", "/proc/8/exe"]);
    expect(await readMinor(undefined, { version })).to.equal(undefined);
  });
});
