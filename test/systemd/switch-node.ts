import { execFileSync, spawnSync } from "node:child_process";
import type { StdioOptions } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import { silentLogger } from "../../src/log.ts";
import { kubeletApi } from "../kubelet/rig.ts";
import { bridgeConflist } from "../support/node-network.ts";
import { ensureTestImages } from "../support/test-images.ts";
import { loadPauseImage } from "../takeover/cri-dockerd-pod.ts";
import type { Places } from "../takeover/cri-dockerd-pod.ts";

const root = join(import.meta.dirname, "..", "..");
export const kubeletFlags = "/var/lib/kubelet/kubeadm-flags.env";
export const criDockerdSocket = "unix:///var/run/cri-dockerd.sock";
export const docklineSocket = "unix:///run/dockline/dockline.sock";
const unitFolder = "/etc/systemd/system";
const names = [
  "cri-docker.socket",
  "cri-docker.service",
  "dockline.socket",
  "dockline.service",
  "kubelet.service",
];

/** What this node's cri-dockerd has its pods in. */
export const places: Places = {
  cgroupRoot: "systemd",
  root: "/var/lib/cri-dockerd",
  cniCache: "/var/lib/cni/cache",
  confFile: "/etc/cni/net.d/10-test.conflist",
  podLogs: "/var/log/pods",
  pauseImage: "registry.k8s.io/pause:3.10.2",
};

/** The kubelet of this node; its folder is where kubeadm's static pods are. */
export const kubelet = kubeletApi({ folder: "/etc/kubernetes" }, 10_250);

/** Throws where this is not the lane's own machine: units and folders here are the real ones. */
export function needLane(): void {
  if (hostname() !== "dockline-lane" || !existsSync("/run/systemd/system")) {
    throw new Error("this changes the machine's units: run it by scripts/test-systemd.sh");
  }
}

/** A node with Docker, cri-dockerd and a kubelet as services, and Dockline's package beside them. */
export async function makeNode(): Promise<DockerEngine> {
  const docker = createDockerEngine({ endpoint: "unix:///run/docker.sock", log: silentLogger });
  await ensureTestImages(docker);
  await loadPauseImage(docker, places.pauseImage);
  for (const folder of [dirname(places.confFile), "/etc/kubernetes/manifests"]) {
    mkdirSync(folder, { recursive: true });
  }
  bridgeConflist(dirname(places.confFile), {
    bridge: "switch0",
    dataDir: "/var/lib/cni/networks",
  });
  writeCriDockerd();
  writeKubelet();
  systemctl("daemon-reload");
  systemctl("enable", "--now", "cri-docker.socket", "cri-docker.service");
  // It sees that cri-dockerd serves the node, and starts nothing.
  execFileSync("dpkg", ["--install", variable("DOCKLINE_TEST_PACKAGE")], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      ...process.env,
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      DEBIAN_FRONTEND: "noninteractive",
    },
  });
  return docker;
}

function variable(name: string): string {
  const value = process.env[name] ?? "";
  if (value === "") throw new Error(`${name} is not set: run this by scripts/test-systemd.sh`);
  return value;
}

/** cri-dockerd's two units as its packages have them, around the real one or a Dockline under its name. */
function writeCriDockerd(): void {
  const real = process.env["DOCKLINE_TEST_CRI_DOCKERD"] ?? "";
  // The kubelet has a CRI before the switch, on a state folder that Dockline knows nothing of.
  const played = [
    `exec -a cri-dockerd ${process.execPath} ${join(root, "dist/dockline.mjs")} serve`,
    "--container-runtime-endpoint=fd:// --state-dir=/var/lib/played --run-dir=/run/played",
  ].join(" ");
  const command =
    real === ""
      ? `/bin/bash -c "${played}"`
      : `${real} --container-runtime-endpoint fd:// --cni-bin-dir=/usr/lib/cni ` +
        `--pod-infra-container-image=${places.pauseImage}`;
  writeUnit("cri-docker.service", {
    Unit: [
      "After=docker.service",
      "Requires=cri-docker.socket",
      "StartLimitBurst=3",
      "StartLimitIntervalSec=60s",
    ],
    Service: [
      ...["Type=notify", `ExecStart=${command}`, "Restart=always", "RestartSec=2"],
      ...["StateDirectory=played", "KillMode=process", "Delegate=yes"],
    ],
    Install: ["WantedBy=multi-user.target"],
  });
  writeUnit("cri-docker.socket", {
    Unit: ["PartOf=cri-docker.service"],
    Socket: ["ListenStream=%t/cri-dockerd.sock", "SocketMode=0660", "SocketGroup=docker"],
    Install: ["WantedBy=sockets.target"],
  });
}

/** A kubelet as kubeadm leaves it: its flags in a file, its configuration in another. */
function writeKubelet(): void {
  const binary = variable("DOCKLINE_TEST_KUBELET_PROGRAM");
  // cAdvisor ends the kubelet where the processor has no clock speed, as in user-mode-linux.
  const cpuinfo = "/run/cpuinfo";
  writeFileSync(cpuinfo, `${readFileSync("/proc/cpuinfo", "utf8")}cpu MHz\t\t: 1000.000\n`);
  execFileSync("mount", ["--bind", cpuinfo, "/proc/cpuinfo"]);
  mkdirSync(dirname(kubeletFlags), { recursive: true });
  writeFileSync(
    kubeletFlags,
    `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=${criDockerdSocket} --hostname-override=127.0.0.1"\n`,
  );
  const config = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    staticPodPath: "/etc/kubernetes/manifests",
    cgroupDriver: "systemd",
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    fileCheckFrequency: "1s",
    syncFrequency: "3s",
  };
  writeFileSync("/var/lib/kubelet/config.yaml", JSON.stringify(config));
  writeUnit("kubelet.service", {
    Unit: ["After=network-online.target", "StartLimitIntervalSec=0"],
    Service: [
      `EnvironmentFile=-${kubeletFlags}`,
      `ExecStart=${binary} --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS`,
      ...["Restart=always", "RestartSec=2"],
    ],
    Install: ["WantedBy=multi-user.target"],
  });
}

function writeUnit(name: string, sections: Record<string, string[]>): void {
  const text = Object.entries(sections).map(
    ([section, lines]) => `[${section}]\n${lines.join("\n")}\n`,
  );
  writeFileSync(join(unitFolder, name), text.join("\n"));
}

/** Makes a service fail at its starts until `mend` is called. */
export function breakService(name: string, line: string): { mend: () => void } {
  const folder = join(unitFolder, `${name}.d`);
  mkdirSync(folder);
  writeFileSync(join(folder, "broken.conf"), `[Service]\n${line}\n`);
  systemctl("daemon-reload");
  return {
    mend: () => {
      rmSync(folder, { recursive: true });
      systemctl("daemon-reload");
    },
  };
}

export function systemctl(...args: string[]): string {
  const stdio: StdioOptions = ["ignore", "pipe", "pipe"];
  return execFileSync("systemctl", args, { encoding: "utf8", stdio }).trim();
}

/** "active enabled" and the like, by unit. */
export function unitStates(): Record<string, string> {
  const properties = ["--property=ActiveState", "--property=UnitFileState"];
  const blocks = systemctl("show", ...properties, ...names).split("\n\n");
  return Object.fromEntries(
    names.map((name, at) => [
      name,
      (blocks[at] ?? "").replaceAll(/^\w+=/gm, "").replace("\n", " "),
    ]),
  );
}

export const mainPid = (unit: string): string =>
  systemctl("show", "--property=MainPID", "--value", unit);

/** The installed program's `migrate`. */
export function migrate(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync("/usr/bin/dockline", ["migrate", ...args], {
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
}

/** What of the pods must be the same after anything: id, pid and start time of each running container. */
export async function runningContainers(docker: DockerEngine): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { Id, Names } of await docker.listContainers(["io.kubernetes.docker.type"])) {
    const { State } = await docker.inspectContainer(Id);
    const { Running, Pid, StartedAt } = State;
    found[Names[0] ?? Id] = `${Id} ${Running ? "running" : "ended"} ${Pid} ${StartedAt}`;
  }
  return found;
}

/** The newest lines of the units, for a failure. */
export function journal(): string {
  const units = names.flatMap((name) => ["--unit", name]);
  return execFileSync("journalctl", ["--no-pager", "--lines=60", ...units], { encoding: "utf8" });
}
