import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "chai";
import type { Finding } from "../../src/admin/doctor/finding.ts";
import { until } from "../support/containers.ts";
import { startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";

// A sound node with an engine of its own; each test plants one mistake and expects that one finding
// and no other. The doctor runs in namespaces of its own: FORWARD can be dropped there, and
// what else this machine runs is not seen.

const program = join(import.meta.dirname, "..", "..", "bin", "dockline");

describe("dockline doctor on a node", function () {
  this.timeout(120_000);
  let folder: string;
  let engine: PrivateEngine;
  let node: TestNode;
  /** What this machine has of itself: a full disk, nested storage. */
  let ownTroubles: string[];
  const path = (...names: string[]): string => join(folder, ...names);
  const oldPath = process.env["PATH"];

  /** With what a lane adds to choose its image store. */
  let soundSettings: object;
  const daemonFile = (): string => join(dirname(engine.socketPath), "daemon.json");
  const kubeletConfig = (changes: object = {}): void => {
    const sound = {
      containerRuntimeEndpoint: node.endpoint,
      cgroupDriver: "cgroupfs",
      failCgroupV1: false,
    };
    writeFileSync(path("config.yaml"), JSON.stringify({ ...sound, ...changes }));
  };
  const restartEngine = async (settings: object): Promise<void> => {
    writeFileSync(daemonFile(), JSON.stringify(settings));
    await engine.stop();
    await engine.start();
    await untilReady();
  };
  const untilReady = async (): Promise<void> => {
    const ready = async (): Promise<boolean> => {
      const { status } = await node.runtime.status({});
      const runtime = status?.conditions.find(({ type }) => type === "RuntimeReady");
      return runtime?.status === true;
    };
    await until("Dockline has found the engine again", ready, 30_000);
  };
  /** What it says; `setUp` runs in its namespaces before it. */
  const examine = async (
    setUp = "true",
    ...more: string[]
  ): Promise<{ exitCode: number; findings: Finding[] }> => {
    const args = [
      ...["doctor", "--json", `--docker-endpoint=unix://${engine.socketPath}`],
      `--container-runtime-endpoint=${node.endpoint}`,
      `--state-dir=${path("state")}`,
      `--run-dir=${path("run")}`,
      `--cni-conf-dir=${node.cniConfDir}`,
      `--cni-bin-dir=${path("plugins")}`,
      `--daemon-json=${daemonFile()}`,
      `--kubelet-config=${path("config.yaml")}`,
      `--kubelet-flags=${path("kubeadm-flags.env")}`,
      `--dockershim-root=${path("dockershim")}`,
      `--cri-dockerd-root-directory=${path("cri-dockerd")}`,
      ...more,
    ];
    const namespaces = ["--net", "--pid", "--mount", "--fork", "--mount-proc"];
    // Not in one go: the proxy between Dockline and its engine lives in this process.
    const child = spawn("unshare", [
      ...namespaces,
      ...["sh", "-c", `echo 1 >/proc/sys/net/ipv4/ip_forward && ${setUp} && exec "$@"`],
      ...["sh", program, ...args],
    ]);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const [status] = (await once(child, "close")) as [number | null];
    if (!stdout.startsWith("{")) throw new Error(`${String(status)}: ${stderr}`);
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    return { exitCode: status ?? -1, findings };
  };
  const bad = (findings: Finding[]): string[] =>
    findings
      .filter(({ level }) => level === "warning" || level === "error")
      .map(({ check, level }) => `${check} ${level}`);
  /** Expects one finding more than on the sound node. */
  const expectOnly = async (
    wanted: string,
    ...run: Parameters<typeof examine>
  ): Promise<Finding> => {
    const { exitCode, findings } = await examine(...run);
    const said = findings.filter(({ why }) => why !== "").map(({ check, what }) => [check, what]);
    const found = bad(findings).filter((one) => !ownTroubles.includes(one));
    expect(found, JSON.stringify(said)).to.deep.equal([wanted]);
    expect(exitCode).to.equal(bad(findings).some((one) => one.endsWith(" error")) ? 2 : 1);
    return findings.find(({ check, level }) => `${check} ${level}` === wanted)!;
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "dockline-doctor-"));
    for (const name of ["bin", "state"]) mkdirSync(path(name));
    // Plugins of the machine's own, in a folder from which one can be taken.
    mkdirSync(path("plugins"), { mode: 0o755 });
    for (const name of ["bridge", "host-local", "portmap"]) {
      cpSync(pluginPath(name), path("plugins", name));
    }
    // What dockerd asks for its version, and what runs containers, is the machine's runc otherwise.
    writeFileSync(path("runc-version"), "runc version 1.3.6\ncommit: v1.3.6-0\nspec: 1.2.1\n");
    const real = execFileSync("sh", ["-c", "PATH=$PATH:/usr/sbin:/sbin command -v runc"], {
      encoding: "utf8",
    }).trim();
    writeFileSync(
      path("bin", "runc"),
      `#!/bin/sh\n[ "$1" = --version ] && exec cat ${path("runc-version")}\nexec ${real} "$@"\n`,
      { mode: 0o755 },
    );
    process.env["PATH"] = `${path("bin")}:${oldPath ?? ""}`;
    engine = await startPrivateEngine([], { "live-restore": true });
    soundSettings = JSON.parse(readFileSync(daemonFile(), "utf8")) as object;
    node = await startNode({ upstream: engine.socketPath });
    kubeletConfig();
    writeFileSync(path("kubeadm-flags.env"), 'KUBELET_KUBEADM_ARGS="--v=2"\n');
    ownTroubles = bad((await examine()).findings);
    // The test's own image is loaded, and nothing pins it; the engine does not know dockline-oci.
    const expected = /^(?:disk|storage|local-images|dockline-oci|nri-socket) /;
    expect(ownTroubles.filter((one) => !expected.test(one))).to.deep.equal([]);
  });
  after(async () => {
    process.env["PATH"] = oldPath;
    await node.close();
    await engine.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("finds a plugin that is missing", async () => {
    rmSync(path("plugins", "portmap"));
    try {
      expect((await expectOnly("cni-plugins error")).what).to.contain("portmap");
    } finally {
      cpSync(pluginPath("portmap"), path("plugins", "portmap"));
    }
  });

  it("finds a plugin that everybody may replace", async () => {
    chmodSync(path("plugins", "bridge"), 0o777);
    try {
      expect((await expectOnly("cni-plugins error")).mend.join()).to.contain("chmod go-w");
    } finally {
      chmodSync(path("plugins", "bridge"), 0o755);
    }
  });

  it("finds an empty CNI folder", async () => {
    mkdirSync(path("nothing"));
    await expectOnly("cni-config error", "true", `--cni-conf-dir=${path("nothing")}`);
  });

  for (const tool of ["iptables", "ip6tables"]) {
    it(`finds that ${tool} drops what is forwarded`, async () => {
      const { mend } = await expectOnly("forward error", `${tool} -P FORWARD DROP`);
      expect(mend[0]).to.equal(`${tool} -P FORWARD ACCEPT`);
    });
  }

  it("finds that nothing is forwarded", async () => {
    await expectOnly("forward warning", "echo 0 >/proc/sys/net/ipv4/ip_forward");
  });

  it("finds a kubelet with the other cgroup driver, whose version it cannot know", async () => {
    kubeletConfig({ cgroupDriver: "systemd" });
    try {
      expect((await expectOnly("cgroup-driver warning")).what).to.contain(path("config.yaml"));
    } finally {
      kubeletConfig();
    }
  });

  it("finds a kubelet that asks cri-dockerd", async () => {
    kubeletConfig({ containerRuntimeEndpoint: "unix:///var/run/cri-dockerd.sock" });
    try {
      await expectOnly("kubelet-endpoint error");
    } finally {
      kubeletConfig();
    }
  });

  it("finds dockershim's flags", async () => {
    const text = 'KUBELET_KUBEADM_ARGS="--network-plugin=cni --v=2"\n';
    writeFileSync(path("old.env"), text);
    await expectOnly("kubelet-flags error", "true", `--kubelet-flags=${path("old.env")}`);
  });

  it("finds a flag that newer kubelets do not know", async () => {
    writeFileSync(
      path("new.env"),
      "KUBELET_EXTRA_ARGS=--containerd=/run/dockline/containerd.sock\n",
    );
    const flags = `--kubelet-flags=${path("new.env")}`;
    expect((await expectOnly("kubelet-flags warning", "true", flags)).why).to.contain("1.37");
  });

  it("finds that kubeadm's next upgrade takes the kubelet away", async () => {
    const text = 'containerRuntimeEndpoint: "unix:///var/run/cri-dockerd.sock"\n';
    writeFileSync(path("instance-config.yaml"), text);
    try {
      await expectOnly("kubeadm-endpoint warning");
    } finally {
      rmSync(path("instance-config.yaml"));
    }
  });

  it("finds sockets that everybody may write to", async () => {
    for (const [socket, check] of [
      [engine.socketPath, "docker-socket"],
      [node.endpoint.replace("unix://", ""), "dockline-socket"],
    ] as const) {
      chmodSync(socket, 0o666);
      try {
        expect((await expectOnly(`${check} error`)).mend[0]).to.equal(`chmod 0660 ${socket}`);
      } finally {
        chmodSync(socket, 0o660);
      }
    }
  });

  it("finds a disk that is full, of bytes and of inodes", async () => {
    const state = path("state");
    const small = `mount -t tmpfs -o size=1m,nr_inodes=40 small ${state}`;
    const fill = `{ head -c 2m /dev/zero >${state}/full 2>/dev/null; true; }`;
    expect((await expectOnly("disk error", `${small} && ${fill}`)).what).to.contain("nearly full");
    const many = `for i in $(seq 50); do touch ${state}/$i; done 2>/dev/null; true`;
    expect((await expectOnly("disk error", `${small} && { ${many}; }`)).what).to.contain("inodes");
  });

  it("finds a disk that may not be written to", async () => {
    await expectOnly("disk error", `mount -t tmpfs -o ro small ${path("state")}`);
  });

  it("finds an old runc", async () => {
    const sound = readFileSync(path("runc-version"));
    writeFileSync(path("runc-version"), "runc version 1.1.5\ncommit: v1.1.5-0\nspec: 1.0.2-dev\n");
    try {
      expect((await expectOnly("runc error")).what).to.contain("CVE-2024-21626");
    } finally {
      writeFileSync(path("runc-version"), sound);
    }
  });

  it("finds what dockershim left", async () => {
    const folderOf = path("dockershim", "sandbox");
    mkdirSync(folderOf, { recursive: true });
    writeFileSync(join(folderOf, "ab".repeat(32)), "{}");
    try {
      expect((await expectOnly("leftovers warning")).mend).to.deep.equal([
        `rm ${join(folderOf, "ab".repeat(32))}`,
      ]);
    } finally {
      rmSync(path("dockershim"), { recursive: true });
    }
  });

  it("finds what daemon.json does to pods", async () => {
    for (const settings of [{ "userns-remap": "default" }, { "default-ulimits": { core: {} } }]) {
      writeFileSync(path("other.json"), JSON.stringify({ ...soundSettings, ...settings }));
      await expectOnly("daemon-json warning", "true", `--daemon-json=${path("other.json")}`);
    }
    writeFileSync(path("other.json"), "{,}");
    await expectOnly("daemon-json error", "true", `--daemon-json=${path("other.json")}`);
  });

  it("finds a pod's record that nobody can read", async () => {
    const file = path("state", "sandboxes", "1.json.corrupt");
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "{");
    try {
      expect((await expectOnly("owed warning")).what).to.contain(file);
    } finally {
      rmSync(dirname(file), { recursive: true });
    }
  });

  it("finds a CNI folder that another account may change", async () => {
    const { uid, gid } = statSync(node.cniConfDir);
    chownSync(node.cniConfDir, 3131, gid);
    try {
      expect((await expectOnly("cni-config warning")).what).to.contain("user 3131");
    } finally {
      chownSync(node.cniConfDir, uid, gid);
    }
  });

  it("runs one check where it is asked for one", async () => {
    chmodSync(engine.socketPath, 0o666);
    try {
      const { exitCode, findings } = await examine("true", "--check=live-restore");
      expect(findings.map(({ check, level }) => [check, level])).to.deep.equal([
        ["live-restore", "ok"],
      ]);
      expect(exitCode).to.equal(0);
    } finally {
      chmodSync(engine.socketPath, 0o660);
    }
  });

  it("finds that Dockline hangs", async () => {
    process.kill(node.pid, "SIGSTOP");
    try {
      expect((await expectOnly("dockline-status error")).what).to.contain("does not answer");
    } finally {
      process.kill(node.pid, "SIGCONT");
    }
  });

  describe("whose engine is started otherwise", () => {
    after(async () => await restartEngine(soundSettings));

    for (const [name, settings, wanted] of [
      ["live-restore off", { "live-restore": false }, "live-restore warning"],
      ["log-driver none", { "log-driver": "none" }, "log-driver warning"],
      [
        "a dockline-oci that is gone",
        { runtimes: { dockline: { path: "/nowhere/dockline-oci" } } },
        "dockline-oci error",
      ],
    ] as const) {
      it(`finds ${name}`, async () => {
        await restartEngine({ ...soundSettings, ...settings });
        await expectOnly(wanted);
      });
    }
  });

  it("finds that Docker is down, and goes on", async () => {
    await engine.stop();
    try {
      const { what } = await expectOnly("engine error");
      expect(what).to.contain(engine.socketPath);
      const { findings } = await examine();
      expect(findings.find(({ check }) => check === "cni-plugins")?.level).to.equal("ok");
      expect(findings.find(({ check }) => check === "storage")?.level).to.equal("skipped");
    } finally {
      await engine.start();
      await untilReady();
    }
  });

  it("finds that Dockline is down", async () => {
    await node.terminate();
    try {
      await expectOnly("dockline-socket error");
    } finally {
      await node.start();
    }
  });
});

function pluginPath(name: string): string {
  for (const folder of ["/opt/cni/bin", "/usr/lib/cni"]) {
    try {
      readFileSync(join(folder, name));
      return join(folder, name);
    } catch {
      continue;
    }
  }
  throw new Error(`the CNI plugin ${name} is not installed`);
}
