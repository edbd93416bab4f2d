import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { KubeletFiles } from "../../../../src/admin/kubelet/files.ts";
import { kubeletFindings, kubeletSteps } from "../../../../src/admin/kubelet/steps.ts";
import { whileKubeletRests } from "../../../../src/admin/migrate-units.ts";
import type { Units } from "../../../../src/admin/systemd-units.ts";

const theirs = "unix:///var/run/cri-dockerd.sock";
const ours = "unix:///run/dockline/dockline.sock";

const nodeOf = (part: Partial<KubeletFiles>): KubeletFiles => ({
  ...{ flags: [], units: [], config: undefined, dropIns: [], instance: undefined },
  ...{ instancePath: "/i", running: undefined, troubles: [] },
  ...part,
});
const active = { load: "loaded", active: "active", file: "enabled", command: [], pulls: [] };
const units: Units = new Map([["kubelet.service", active]]);

describe("the kubelet's steps of a migration", () => {
  const flags = [
    { path: "/k/flags.env", text: `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=${ours}"\n` },
  ];
  const runs = (endpoint: string): KubeletFiles => {
    const args = ["/usr/bin/kubelet", `--container-runtime-endpoint=${endpoint}`];
    return nodeOf({ flags, running: { pid: 7, args } });
  };
  const commands = (files: KubeletFiles, on: Units | undefined): string[] =>
    whileKubeletRests(kubeletSteps({ files, minor: 33 }, ours, on), on).flatMap(
      ({ commands: all = [] }) => all,
    );

  it("start a kubelet again that runs with what its files said before", () => {
    const restart = ["systemctl stop kubelet.service", "systemctl start kubelet.service"];
    expect(commands(runs(theirs), units)).to.deep.equal(restart);
    expect(commands(runs(ours), units)).to.deep.equal([]);
    // Without systemd it is said, and left to the operator.
    const [step] = kubeletSteps({ files: runs(theirs), minor: 33 }, ours, undefined);
    expect(step).to.deep.equal({
      title: `the kubelet still runs with ${theirs}: it has to be started again`,
    });
  });

  describe("that cannot be done", () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "dockline-kubelet-"));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));
    const badOf = (files: KubeletFiles): string[] =>
      kubeletFindings({ files, minor: 37 }, ours, undefined).flatMap(({ level, text }) =>
        level === "bad" ? [text] : [],
      );
    const text = `containerRuntimeEndpoint: ${theirs}\n`;

    it("are found out before the first, and what can be written stays as it was", () => {
      const path = join(folder, "config.yaml");
      writeFileSync(path, text, { mode: 0o400 });
      const kubeadm = { path: join(folder, "kubeadm-flags.env"), text: "KUBELET_KUBEADM_ARGS=\n" };
      const node = nodeOf({ flags: [kubeadm], config: { path, text } });
      const instancePath = join(folder, "not-yet", "instance-config.yaml");
      expect(badOf({ ...node, instancePath })).to.deep.equal([]);
      const below = join(path, "instance-config.yaml");
      expect(badOf({ ...node, instancePath: below }).join()).to.match(
        /instance-config\.yaml cannot be written: .*not a directory/,
      );
      expect(readFileSync(path, "utf8")).to.equal(text);
    });

    it("are those of a file that nobody may change, or of one that is a link into such a folder", function () {
      const fixed = join(folder, "fixed");
      mkdirSync(fixed);
      const target = join(fixed, "config.yaml");
      writeFileSync(target, text);
      const link = join(folder, "config.yaml");
      symlinkSync(target, link);
      for (const kept of [target, fixed]) {
        try {
          execFileSync("chattr", ["+i", kept], { stdio: "ignore" });
        } catch {
          // Only root may, and not on every file system.
          this.skip();
        }
        try {
          for (const path of [target, link]) {
            expect(badOf(nodeOf({ config: { path, text } })).join(), kept).to.match(
              /config\.yaml cannot be written: .*not permitted/,
            );
          }
        } finally {
          execFileSync("chattr", ["-i", kept]);
        }
        expect(badOf(nodeOf({ config: { path: link, text } }))).to.deep.equal([]);
      }
    });
  });
});
