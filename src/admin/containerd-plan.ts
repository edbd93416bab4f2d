import { copyFile, chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { toContainerdConfig, toHostsToml } from "./hosts-toml.ts";
import type { ContainerdConfig } from "./hosts-toml.ts";
import type { ContainerdFacts, DockerFiles } from "./containerd-facts.ts";
import { editFlags, withoutFlags } from "./kubelet-flags.ts";
import { planEndpoint } from "./kubelet/endpoint.ts";
import { isUnitFile } from "./kubelet/files.ts";
import { annotateLine, tellKubeadm } from "./kubelet/steps.ts";
import type { FoundKubelet } from "./kubelet/steps.ts";
import { flagOf } from "./migrate-node.ts";
import { count } from "./report.ts";
import type { Finding, Step } from "./report.ts";

const endpoint = "unix:///run/containerd/containerd.sock";
/** What only Docker's side of the node needs of the kubelet. */
const oddFlags = ["--containerd", "--runtime-cgroups", "--pod-infra-container-image"];

export interface ContainerdPlan {
  facts: ContainerdFacts;
  files: DockerFiles;
  /** Where the files go; undefined in a dry run. */
  output: string | undefined;
  sandboxImage: string;
  dockerEndpoint: string;
  ownEndpoint: string;
  /** Folders of Dockline's own. */
  stateDir: string;
  runDir: string;
  /** FILE, whose edited copy has a name of its own. */
  kubeletFlags: string | undefined;
  kubelet: FoundKubelet;
}

/** What an operator has to know before the switch. */
export function containerdFindings({ facts, kubelet }: ContainerdPlan): Finding[] {
  const { info, images, troubles, credentialProblems } = facts;
  const findings: Finding[] = [];
  const add = (level: Finding["level"], text: string): void => void findings.push({ level, text });
  add(
    "ok",
    `Docker Engine ${info.ServerVersion}, ${count(facts.podCount, "pod")}: all are recreated`,
  );
  const own = images.filter(({ onlyHere }) => onlyHere);
  if (own.length > 0) {
    add(
      "warn",
      `no registry is known to have ${own.map(({ names }) => names[0]).join(", ")}: move or push ${own.length === 1 ? "it" : "them"}`,
    );
  }
  for (const { pod, why } of troubles) add("warn", `${pod} ${why}`);
  for (const problem of credentialProblems) add("warn", `credentials not read: ${problem}`);
  add(
    "ok",
    'logs: files and rotation stay the kubelet\'s; "docker logs" and "docker ps" know pods no more',
  );
  add(
    "ok",
    'logs: use "crictl ps", "crictl logs"; Docker\'s own json-files end with their containers',
  );
  add(
    "ok",
    "stats: the kubelet reads containerd's socket itself; writable layers are counted by the snapshotter",
  );
  for (const flag of oddFlags) {
    if (flagOf(kubelet.files.running?.args ?? [], flag) !== undefined) {
      add("warn", `the kubelet runs with ${flag}: take it out with the switch`);
    }
  }
  for (const obstacle of planEndpoint(kubelet.files, endpoint, kubelet.minor).obstacles) {
    add("warn", obstacle);
  }
  for (const { path, text } of kubelet.files.units) {
    if (isOwn(path) || withoutFlags(text, oddFlags) === text) continue;
    const found = oddFlags.filter((flag) => withoutFlags(text, [flag]) !== text).join(", ");
    add("warn", `${path} has ${found}, and is a package's: override it (systemctl edit kubelet)`);
  }
  const proxy = info as { HttpProxy?: string; HttpsProxy?: string };
  if ((proxy.HttpProxy ?? "") !== "" || (proxy.HttpsProxy ?? "") !== "") {
    add("warn", "Docker pulls through a proxy: give containerd.service the same environment");
  }
  return findings;
}

export function containerdSteps(plan: ContainerdPlan): Step[] {
  const { facts, dockerEndpoint } = plan;
  const folder = plan.output ?? "FOLDER";
  const total = facts.images.reduce((sum, { bytes }) => sum + bytes, 0);
  const kubeletFiles = editedFiles(plan);
  const { files, minor } = plan.kubelet;
  const { obstacles } = planEndpoint(files, endpoint, minor);
  const tells = tellKubeadm(plan.kubelet, endpoint).length > 0;
  const crictl = `crictl --runtime-endpoint=${plan.ownEndpoint}`;
  return [
    {
      title: `write containerd's configuration, ${count(facts.registries.length, "registry file")} and the list of images${plan.output === undefined ? " (--apply --output FOLDER)" : ` into ${folder}`}`,
      commands: [
        ...facts.registries.map(({ registry, mirrors, insecure }) => {
          const notes = [
            ...mirrors.map(({ name }) => `mirror ${name}`),
            ...(insecure ? ["insecure"] : []),
          ];
          return `certs.d/${registry}/hosts.toml${notes.length > 0 ? `  (${notes.join(", ")})` : ""}`;
        }),
        `config.toml  (version ${configVersion(facts)}, for ${configFor(facts)}; sandbox image, cgroup driver, runtimes; credentials: ${facts.credentials.map(({ registry }) => registry).join(", ") || "none"})`,
        "move-images.sh",
        ...kubeletFiles.map(({ name }) => name),
      ],
      ...(plan.output === undefined ? {} : { apply: () => writeAll(plan, folder, kubeletFiles) }),
    },
    {
      title: `move ${count(facts.images.length, "image")} (${Math.ceil(total / 1e6)} MB), while pods run; those that a registry has may be left to it`,
      commands: facts.images.map((image) => moveLine(image.names, dockerEndpoint)),
    },
    { title: "empty the node", commands: ["kubectl drain NODE --ignore-daemonsets"] },
    {
      title: "end the pods that are left, with their addresses, then Dockline",
      commands: [
        "systemctl stop kubelet.service",
        `${crictl} stopp $(${crictl} pods -q)`,
        `${crictl} rmp $(${crictl} pods -q)`,
        "systemctl disable --now dockline.socket dockline.service",
      ],
    },
    {
      title: "give containerd its configuration",
      commands: [
        // What is there already (Docker's package has a config.toml) is kept beside it as FILE.~1~.
        `cp -r --backup=numbered ${folder}/certs.d /etc/containerd/`,
        `install --backup=numbered -m 600 ${folder}/config.toml /etc/containerd/config.toml`,
        "systemctl enable --now containerd.service",
        "systemctl restart containerd.service",
      ],
    },
    {
      title: "point the kubelet there",
      commands: [
        ...kubeletFiles.map(({ name, path }) => `cp --backup=numbered ${folder}/${name} ${path}`),
        ...(kubeletFiles.length === 0 || obstacles.length > 0
          ? [`--container-runtime-endpoint=${endpoint}`]
          : []),
        ...(kubeletFiles.some(({ path }) => isUnitFile(path)) ? ["systemctl daemon-reload"] : []),
        "systemctl start kubelet.service",
      ],
    },
    {
      title: tells
        ? "on a kubeadm cluster, tell kubeadm; let pods come back"
        : "let pods come back",
      commands: [...(tells ? [annotateLine(endpoint)] : []), "kubectl uncordon NODE"],
    },
    {
      title: "when all is well: remove what is left",
      commands: [
        "systemctl disable --now docker.socket docker.service",
        "apt-get purge dockline docker-ce docker.io",
        `rm -rf ${facts.info.DockerRootDir} ${plan.stateDir} ${plan.runDir} /etc/docker`,
        "ip link delete docker0; iptables -F DOCKER  (and the other DOCKER chains; a reboot does it too)",
      ],
    },
  ];
}

/** containerd 1.x does not read version 3; 2.x reads both, and takes 3 as it is. */
const configVersion = ({ containerdVersion }: ContainerdFacts): 2 | 3 =>
  containerdVersion?.startsWith("1.") === true ? 2 : 3;

const configFor = (facts: ContainerdFacts): string =>
  configVersion(facts) === 2
    ? `containerd ${facts.containerdVersion}, which Docker runs on now`
    : "containerd 2.x";

const moveLine = (names: readonly string[], dockerEndpoint: string): string => {
  const host = dockerEndpoint === "unix:///var/run/docker.sock" ? "" : ` -H ${dockerEndpoint}`;
  return `docker${host} save ${names.join(" ")} | ctr -n k8s.io images import -`;
};

/** Only into a folder that is not there or empty: nothing of anybody's is overwritten. */
async function writeAll(
  plan: ContainerdPlan,
  folder: string,
  kubeletFiles: readonly EditedFile[],
): Promise<string> {
  const { facts, files } = plan;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if ((await readdir(folder)).length > 0) throw new Error(`${folder} is not empty`);
  let written = 0;
  const write = async (name: string, text: string, mode = 0o644): Promise<void> => {
    await writeFile(join(folder, name), text, { mode, flag: "wx" });
    written += 1;
  };
  for (const hosts of facts.registries) {
    const own = join("certs.d", hosts.registry);
    await mkdir(join(folder, own), { recursive: true });
    await write(join(own, "hosts.toml"), toHostsToml(hosts));
    for (const name of [...hosts.ca, ...hosts.client.flatMap(({ cert, key }) => [cert, key])]) {
      await copyFile(join(files.certsDir, hosts.registry, name), join(folder, own, name));
      await chmod(join(folder, own, name), name.endsWith(".key") ? 0o600 : 0o644);
      written += 1;
    }
  }
  await write("config.toml", toContainerdConfig(configOf(plan)), 0o600);
  const lines = facts.images.map(({ names }) => moveLine(names, plan.dockerEndpoint));
  await write("move-images.sh", ["#!/bin/sh", "set -e", ...lines, ""].join("\n"), 0o755);
  for (const { name, text } of kubeletFiles) {
    await mkdir(join(folder, dirname(name)), { recursive: true });
    await write(name, text, 0o600);
  }
  return `${count(written, "file")} in ${folder}`;
}

function configOf({ facts, sandboxImage }: ContainerdPlan): ContainerdConfig {
  const runtimes = Object.entries(facts.info.Runtimes ?? {}).flatMap(([handler, { path }]) =>
    path === undefined || !path.startsWith("/") || handler.startsWith("dockline")
      ? []
      : [{ handler, path }],
  );
  return {
    version: configVersion(facts),
    sandboxImage,
    systemdCgroup: facts.info.CgroupDriver === "systemd",
    runtimes,
    credentials: facts.credentials,
  };
}

/** A unit file that is the operator's to change. */
const isOwn = (path: string): boolean => path.startsWith("/etc/");

interface EditedFile {
  /** Within the folder. */
  name: string;
  /** Where it belongs. */
  path: string;
  text: string;
}

/** The kubelet's files with containerd's socket, and without what belongs to Docker's side. */
function editedFiles({ kubelet: { files, minor }, kubeletFlags }: ContainerdPlan): EditedFile[] {
  const edited = new Map(
    planEndpoint(files, endpoint, minor).edits.map(({ path, after }) => [path, after]),
  );
  for (const { path, text } of [
    ...files.units.filter((unit) => isOwn(unit.path)),
    ...files.flags,
  ]) {
    const after = withoutFlags(
      edited.get(path) ?? (path === kubeletFlags ? editFlags(text, endpoint).after : text),
      oddFlags,
    );
    if (after !== text || path === kubeletFlags) edited.set(path, after);
  }
  return [...edited].map(([path, text]) => ({
    name: path === kubeletFlags ? "kubelet-flags" : join("kubelet", path),
    path,
    text,
  }));
}
