import { expect } from "chai";
import { PluginEnvironment } from "../../../src/network/plugin-environment.ts";
import { createPluginRunner } from "../../../src/network/plugin.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { tempFolder } from "../../support/temp-folder.ts";

describe("what the log shows of a plugin's input", () => {
  it("has no secret of the configuration, of the environment or of annotations", () => {
    const environment = new PluginEnvironment({ API_TOKEN: "from-the-unit" }, []);
    const shown = environment.shownInput({
      type: "x",
      mtu: 1400,
      etcd_password: "of-etcd",
      kubernetes: { k8s_auth_token: "of-k8s", kubeconfig: "/etc/cni/kubeconfig" },
      policy: { endpoints: ["http://from-the-unit@x"] },
      runtimeConfig: { "io.kubernetes.cri.pod-annotations": { note: "a user's" } },
    });
    expect(shown).to.deep.equal({
      type: "x",
      mtu: 1400,
      etcd_password: "***",
      kubernetes: { k8s_auth_token: "***", kubeconfig: "/etc/cni/kubeconfig" },
      policy: { endpoints: ["http://***@x"] },
      runtimeConfig: { "io.kubernetes.cri.pod-annotations": "***" },
    });
  });

  it("is a debug line before the plugin runs, with the pod and its arguments", async () => {
    const folder = tempFolder();
    const bin = folder.path("bin");
    mkdirSync(bin);
    writeFileSync(`${bin}/x`, "#!/bin/sh\necho '{}'\n");
    chmodSync(`${bin}/x`, 0o755);
    const lines: object[] = [];
    const runner = createPluginRunner({
      binDirs: [bin],
      clock: systemClock,
      environment: {},
      log: { debug: (fields, msg) => lines.push({ msg, ...fields }) },
    });
    await runner.run({
      type: "x",
      verb: "ADD",
      parameters: { containerId: "p1", netns: "/n", ifName: "eth0", args: "K8S_POD_NAME=web" },
      config: { type: "x", password: "y" },
      timeoutMs: 10_000,
    });
    folder.remove();
    expect(lines).to.deep.equal([
      {
        msg: "CNI plugin",
        plugin: "x",
        verb: "ADD",
        podId: "p1",
        netns: "/n",
        args: "K8S_POD_NAME=web",
        input: { type: "x", password: "***" },
      },
    ]);
  });
});
