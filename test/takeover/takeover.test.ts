import { randomUUID } from "node:crypto";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { migrate } from "../../src/admin/migrate.ts";
import { identities, removeStaticPods } from "../kubelet/kubelet-node.ts";
import { idle, namespace, sh, sleep, startKubeletApi, staticPod, within } from "../kubelet/rig.ts";
import type { KubeletApi, PodView } from "../kubelet/rig.ts";
import { engineSocket, startNode } from "../support/node.ts";
import type { TestNode } from "../support/node.ts";
import { freePort } from "../support/registry.ts";
import { loadPauseImage, makeCriDockerdPod } from "./cri-dockerd-pod.ts";
import type { Line, MadePod, Places } from "./cri-dockerd-pod.ts";

const kubeletPort = 10_450;
const pauseImage = "registry.k8s.io/pause:3.10.2";
const talk = `n=0; while :; do n=$((n + 1)); echo tick $n; sleep 1; done`;
const web = `httpd -p 8080 -h /data; ${talk}`;
const names = ["binds", "mounts", "host"] as const;
type Name = (typeof names)[number];

/** Pods that cri-dockerd made run under a kubelet; then Dockline is in its place. */
describe("a node taken over from cri-dockerd", function () {
  this.timeout(120_000);
  let node: TestNode;
  let kubelet: KubeletApi;
  let places: Places;
  let manifests: string;
  let hostPort: number;
  const pods = {} as Record<Name, MadePod>;
  const uids = {} as Record<Name, string>;

  const write = (name: Name): void => {
    const volumes = [{ name: "data", hostPath: { path: join(node.folder, "data") } }];
    const volumeMounts = [{ name: "data", mountPath: "/data", readOnly: name === "mounts" }];
    const manifest = staticPod(
      name,
      name === "host"
        ? { hostNetwork: true, containers: [sh("main", idle)] }
        : {
            volumes,
            initContainers: [sh("init", "true", { volumeMounts })],
            containers: [
              sh("main", web, {
                volumeMounts,
                ...(name === "binds" ? { ports: [{ containerPort: 8080, hostPort }] } : {}),
              }),
            ],
          },
      { uid: uids[name] },
    );
    const draft = join(manifests, `.${name}`);
    writeFileSync(draft, JSON.stringify(manifest));
    renameSync(draft, join(manifests, `${name}.json`));
  };
  const addresses = (): string[] =>
    readdirSync(node.addressDir)
      .filter((file) => /^\d/.test(file))
      .sort();

  before(async function () {
    this.timeout(600_000);
    removeStaticPods();
    node = await startNode({ args: [`--docker-endpoint=unix://${engineSocket}`] });
    await node.terminate();
    await loadPauseImage(node.docker, pauseImage);
    places = {
      // As the lane's script names it.
      cgroupRoot: `/dockline-t${process.pid}-${kubeletPort}`,
      root: join(node.folder, "cri-dockerd"),
      cniCache: join(node.folder, "cni-cache"),
      confFile: join(node.cniConfDir, "10-test.conflist"),
      podLogs: node.logDir,
      pauseImage,
    };
    manifests = join(node.folder, "manifests");
    for (const folder of [manifests, join(node.folder, "data")]) mkdirSync(folder);
    writeFileSync(join(node.folder, "data", "index.html"), "from the host\n");
    hostPort = await freePort("0.0.0.0");
    const lines: Record<Name, Line> = { binds: "0.3", mounts: "0.4", host: "0.3" };
    for (const name of names) {
      uids[name] = randomUUID();
      const volume = {
        mounts: [
          { source: join(node.folder, "data"), target: "/data", readOnly: name === "mounts" },
        ],
      };
      pods[name] = await makeCriDockerdPod(node.docker, places, {
        line: lines[name],
        name: `${name}-127.0.0.1`,
        namespace,
        uid: uids[name],
        ...(name === "binds" ? { hostPort } : {}),
        ...(name === "host" ? { hostNetwork: true } : {}),
        containers:
          name === "host"
            ? [{ name: "main", shell: idle }]
            : [
                { name: "init", shell: "true", ends: true, ...volume },
                // Its first attempt failed before the takeover: that is one restart, and stays one.
                ...(name === "mounts"
                  ? [{ name: "main", shell: "exit 3", ends: true, ...volume }]
                  : []),
                { name: "main", attempt: name === "mounts" ? 1 : 0, shell: web, ...volume },
              ],
      });
      write(name);
    }
    await node.start();
    kubelet = startKubeletApi({
      endpoint: node.endpoint,
      port: kubeletPort,
      settings: [`staticPodPath:${manifests}`, `podLogsDir:${node.logDir}`],
    });
  });
  after(async function () {
    this.timeout(60_000);
    for (const name of readdirSync(manifests)) rmSync(join(manifests, name));
    kubelet.stop();
    removeStaticPods();
    await node.close();
  });

  it("restarts nothing: same ids, addresses and restart counts", async () => {
    for (const name of names) await kubelet.ready(name);
    // Two of the kubelet's sync periods.
    await sleep(12_000);
    const seen = await Promise.all(names.map((name) => kubelet.pod(name)));
    const line = (name: Name, key: string, restarts: number): string => {
      const { containers, ip } = pods[name];
      return `docker://${containers[key]} restarts ${restarts} ip ${ip === "" ? "none" : ip}`;
    };
    expect(identities(seen.filter((pod): pod is PodView => pod !== undefined))).to.deep.equal({
      "binds-127.0.0.1/init": line("binds", "init/0", 0),
      "binds-127.0.0.1/main": line("binds", "main/0", 0),
      "mounts-127.0.0.1/init": line("mounts", "init/0", 0),
      "mounts-127.0.0.1/main": line("mounts", "main/1", 1),
      "host-127.0.0.1/main": line("host", "main/0", 0),
    });
    const { items } = await node.runtime.listPodSandbox({});
    expect(items.map(({ id }) => id).sort()).to.deep.equal(
      names.map((name) => pods[name].id).sort(),
    );
  });

  it("reports the mounts of both lines as they are", async () => {
    for (const [name, key, readonly] of [
      ["binds", "main/0", false],
      ["mounts", "main/1", true],
    ] as const) {
      const containerId = pods[name].containers[key] ?? "";
      const { status } = await node.runtime.containerStatus({ containerId });
      expect(
        status?.mounts.map(({ containerPath, hostPath, readonly }) => ({
          containerPath,
          hostPath,
          readonly,
        })),
      ).to.deep.equal([{ containerPath: "/data", hostPath: join(node.folder, "data"), readonly }]);
    }
  });

  it("goes on with their logs, over the links that were there", async () => {
    const last = async (): Promise<number> =>
      Number((await kubelet.logs("mounts", "main", "?tailLines=1")).split(" ")[1]);
    const first = await last();
    await within(10_000, "more lines", async () =>
      (await last()) >= first + 3 ? true : undefined,
    );
    const text = await kubelet.logs("mounts", "main");
    expect(text).to.match(/^tick 1\ntick 2\ntick 3\n/);
    for (const path of Object.values(pods.mounts.logs)) {
      expect(lstatSync(path).isSymbolicLink(), path).to.equal(true);
    }
  });

  it("answers exec, port-forward and their host port", async () => {
    expect(await kubelet.run("mounts", "main", "cat /data/index.html")).to.contain("from the host");
    expect(await kubelet.portForward("mounts", 8080, "GET /index.html HTTP/1.0\r\n\r\n")).to.match(
      /from the host\n$/,
    );
    const answer = await fetch(`http://127.0.0.1:${hostPort}/index.html`, {
      signal: AbortSignal.timeout(5_000),
    });
    expect(await answer.text()).to.equal("from the host\n");
  });

  it("frees address, host port and CNI result when their manifest goes", async () => {
    expect(addresses()).to.deep.equal([pods.binds.ip, pods.mounts.ip].sort());
    rmSync(join(manifests, "binds.json"));
    await within(30_000, "the address", () =>
      addresses().includes(pods.binds.ip) ? undefined : true,
    );
    await within(10_000, "the stop", async () => {
      const { State } = await node.docker.inspectContainer(pods.binds.id);
      return State.Running ? undefined : true;
    });
    expect(addresses()).to.deep.equal([pods.mounts.ip]);
    const rules = execFileSync("iptables-save", ["-t", "nat"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(rules).to.not.contain(`--dport ${hostPort} `);
    expect(
      readdirSync(join(places.cniCache, "results")).filter((file) => file.includes(pods.binds.id)),
    ).to.deep.equal([]);
    // The neighbour did not notice.
    expect(await kubelet.container("mounts", "main")).to.include({ restartCount: 1, ready: true });
  });

  it("is tidied by migrate: checkpoints of pods that are gone go, the others stay", async () => {
    const { podSandboxId } = { podSandboxId: pods.binds.id };
    await node.runtime.removePodSandbox({ podSandboxId });
    const dockershim = join(node.folder, "dockershim");
    mkdirSync(join(dockershim, "sandbox"), { recursive: true });
    const left = join(dockershim, "sandbox", "e".repeat(64));
    writeFileSync(left, '{"version":"v1","name":"old","namespace":"gone","data":{},"checksum":1}');
    const run = async (...more: string[]): Promise<{ code: number; text: string }> => {
      let text = "";
      const code = await migrate(
        [
          ...[
            "--from=cri-dockerd",
            `--cri-dockerd-root-directory=${places.root}`,
            `--dockershim-root=${dockershim}`,
          ],
          ...[`--docker-endpoint=unix://${engineSocket}`, `--state-dir=${node.stateDir}`],
          ...[`--cni-conf-dir=${node.cniConfDir}`, `--cni-cache-dir=${places.cniCache}`, ...more],
        ],
        (part) => (text += part),
      );
      return { code, text };
    };
    const dry = await run();
    // Under systemd it would miss Dockline's unit, and act on the machine's own.
    const systemd = existsSync("/run/systemd/system");
    if (!systemd) expect(dry.code, dry.text).to.equal(0);
    expect(dry.text).to.contain(
      "0 pods of Dockline, 2 pods of another runtime (2 running; checkpoints: 2 cri-dockerd, 0 dockershim)",
    );
    expect(dry.text).to.contain("gone/old").and.to.contain("static/binds-127.0.0.1");
    expect(existsSync(left)).to.equal(true);
    if (systemd) return;
    const done = await run("--apply");
    expect(done.code, done.text).to.equal(0);
    expect(existsSync(dockershim)).to.equal(false);
    expect(readdirSync(join(places.root, "sandbox")).sort()).to.deep.equal(
      [pods.mounts.id, pods.host.id].sort(),
    );
  });
});
