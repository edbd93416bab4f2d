import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  dockershimFlagsOf,
  editFlags,
  lostFlagsOf,
  withoutFlags,
  writeFlags,
} from "../../../src/admin/kubelet-flags.ts";
import { wordsOf } from "../../../src/admin/kubelet/files.ts";
import { flagOf } from "../../../src/admin/migrate-node.ts";

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

  it("are not dockershim's where they name a remote runtime, which newer kubelets have lost", () => {
    for (const form of ["=remote", " remote", '="remote"', "='remote'"]) {
      const text = `KUBELET_KUBEADM_ARGS=--container-runtime${form} --network-plugin=cni\n`;
      const { after, removed } = editFlags(text, ours);
      expect(removed, form).to.deep.equal(["--network-plugin"]);
      expect(after, form).to.contain(`--container-runtime${form} `);
      expect(lostFlagsOf(wordsOf(text)), form).to.deep.equal([
        { flag: "--container-runtime", since: 27 },
      ]);
    }
    for (const text of ["A=--container-runtime=docker\n", "A=--container-runtime=remotely\n"]) {
      expect(dockershimFlagsOf(text)).to.deep.equal(["--container-runtime"]);
      expect(lostFlagsOf(wordsOf(text))).to.deep.equal([]);
    }
  });

  it("are known with dashes and with underscores, as the kubelet knows them", () => {
    const words = ["--boot-id-file=/b", "--containerd_namespace", "moby", "--v=2"];
    expect(lostFlagsOf(words)).to.deep.equal([
      { flag: "--containerd_namespace", since: 37 },
      { flag: "--boot-id-file", since: 37 },
    ]);
    expect(flagOf(["--Cgroup_driver=x", "--cgroup_driver=y_z"], "--cgroup-driver")).to.equal("y_z");
    expect(
      withoutFlags("A=--pod_infra_container_image=a_b --v=2", ["--pod-infra-container-image"]),
    ).to.equal("A=--v=2");
    const edit = editFlags("A=--container_runtime_endpoint=unix:///x --network_plugin=cni\n", ours);
    expect(edit.after).to.equal(`A=--container_runtime_endpoint=${ours} \n`);
    expect(edit.removed).to.deep.equal(["--network-plugin"]);
  });

  it("are kept as they were beside the edited file, and after each edit by hand again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-flags-"));
    try {
      const path = join(folder, "kubeadm-flags.env");
      const edit = (before: string, after: string): Promise<string | undefined> =>
        writeFlags(path, { before, after, removed: [] });
      expect(await edit("", "zero"), "a new file").to.equal(undefined);
      rmSync(path);
      writeFileSync(path, "one", { mode: 0o600 });
      expect(await edit("one", "two")).to.equal(`${path}.before-dockline`);
      // By hand.
      writeFileSync(path, "one, by hand");
      expect(await edit("one, by hand", "three")).to.equal(`${path}.before-dockline-2`);
      // Killed before the file itself was written, and run again.
      expect(await edit("one, by hand", "three")).to.equal(`${path}.before-dockline-2`);
      expect(readFileSync(path, "utf8")).to.equal("three");
      expect(readFileSync(`${path}.before-dockline`, "utf8")).to.equal("one");
      expect(readFileSync(`${path}.before-dockline-2`, "utf8")).to.equal("one, by hand");
      expect(statSync(`${path}.before-dockline-2`).mode & 0o777).to.equal(0o600);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
