import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { editFlags, writeFlags } from "../../../src/admin/kubelet-flags.ts";

const ours = "unix:///run/dockline/dockline.sock";

describe("the kubelet's flags in a migration", () => {
  it("point at our socket, in kubeadm's file and in a configuration", () => {
    const theirs = "unix:///var/run/cri-dockerd.sock";
    for (const form of [
      (endpoint: string) =>
        `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=${endpoint} --pod-infra-container-image=pause:3.9"\n`,
      (endpoint: string) => `KUBELET_EXTRA_ARGS=--container-runtime-endpoint ${endpoint} --v=2\n`,
      (endpoint: string) =>
        `kind: KubeletConfiguration\ncontainerRuntimeEndpoint: ${endpoint}\nport: 1\n`,
    ]) {
      expect(editFlags(form(theirs), ours)).to.deep.include({ after: form(ours), removed: [] });
    }
  });

  it("lose what went with dockershim, and get an endpoint where there was none", () => {
    const edit = editFlags(
      'KUBELET_KUBEADM_ARGS="--network-plugin=cni --container-runtime docker --cgroup-driver=systemd --cni-bin-dir=/opt/cni/bin"\n',
      ours,
    );
    expect(edit.after.replaceAll(/ +(?=[ "])/g, "")).to.equal(
      `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=${ours} --cgroup-driver=systemd"\n`,
    );
    expect(edit.removed.sort()).to.deep.equal([
      "--cni-bin-dir",
      "--container-runtime",
      "--network-plugin",
    ]);
  });

  it("stay as they are where they name our socket already", () => {
    const text = `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=${ours} --cni-conf-directory=x"\n`;
    expect(editFlags(text, ours)).to.deep.equal({ before: text, after: text, removed: [] });
  });

  it("are kept as they were beside the edited file, the oldest for ever", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-flags-"));
    try {
      const path = join(folder, "kubeadm-flags.env");
      writeFileSync(path, "one");
      await writeFlags(path, { before: "one", after: "two", removed: [] });
      await writeFlags(path, { before: "two", after: "three", removed: [] });
      expect(readFileSync(path, "utf8")).to.equal("three");
      expect(readFileSync(`${path}.before-dockline`, "utf8")).to.equal("one");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
