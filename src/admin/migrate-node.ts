import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import type { Config } from "../config/options.ts";
import { lookupReference } from "../convert/image-ref.ts";
import { readIdentity } from "../convert/labels.ts";
import type { CriIdentity } from "../convert/labels.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { errorText } from "../errors.ts";
import { silentLogger } from "../log.ts";
import { readLegacyCache } from "../network/legacy-cache.ts";
import { createNetwork } from "../network/network.ts";
import { systemClock } from "../sys/clock.ts";
import { isErrno } from "../sys/fs.ts";
import { count } from "./report.ts";
import type { Finding } from "./report.ts";

/** Folders of the runtimes that Dockline takes over from or gives back to. */
export interface ForeignFolders {
  /** cri-dockerd's `--cri-dockerd-root-directory`. */
  criDockerd: string;
  dockershim: string;
}

export interface FoundContainer {
  id: string;
  identity: CriIdentity;
  inspect: ContainerInspect;
}

/** A process of another runtime or the kubelet, with its command line. */
export interface FoundProcess {
  pid: number;
  args: string[];
}

/** The kubelet and cri-dockerd accept underscores in a flag's name in place of dashes. */
export const withDashes = (name: string): string => name.replaceAll("_", "-");

/** The value of a Go flag on a command line, in both of its forms; of several the last one wins. */
export function flagOf(args: readonly string[], flag: string): string | undefined {
  let value: string | undefined;
  for (const [at, argument] of args.entries()) {
    const end = argument.indexOf("=");
    const name = withDashes(end < 0 ? argument : argument.slice(0, end));
    if (name !== withDashes(flag)) continue;
    value = end < 0 ? (args[at + 1] ?? value) : argument.slice(end + 1);
  }
  return value;
}

/** Processes whose program has this name, a version behind it or not; what ends while it is read is not there. */
export function findProcesses(program: string, procDir = "/proc"): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const entry of readdirSync(procDir)) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const args = readFileSync(join(procDir, entry, "cmdline"), "utf8")
        .split("\0")
        .slice(0, -1);
      const name = basename(args[0] ?? "");
      if (name === program || name.startsWith(`${program}-`))
        found.push({ pid: Number(entry), args });
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ESRCH", "EACCES")) throw error;
    }
  }
  return found;
}

/** Without those in containers (a cluster within a pod), which have other pids there. */
export function ownProcesses<T extends FoundProcess>(found: readonly T[], procDir = "/proc"): T[] {
  const pidsOf = (pid: string): string => readlinkSync(join(procDir, pid, "ns", "pid"));
  return found.filter(({ pid }) => {
    try {
      return pidsOf(String(pid)) === pidsOf("self");
    } catch (error) {
      if (isErrno(error, "ENOENT", "ESRCH")) return false;
      if (isErrno(error, "EACCES")) return true;
      throw error;
    }
  });
}

/** Every container of a pod, ours and theirs. Asks for each one's details. */
export async function findContainers(engine: DockerEngine): Promise<FoundContainer[]> {
  const found: FoundContainer[] = [];
  for (const { Id, Names, Labels } of await engine.listContainers(["io.kubernetes.docker.type"])) {
    const identity = readIdentity({ name: Names[0] ?? "", labels: Labels });
    if (identity === undefined) continue;
    found.push({ id: Id, identity, inspect: await engine.inspectContainer(Id) });
  }
  return found;
}

export interface LookedAt {
  findings: Finding[];
  containers: FoundContainer[];
  /** Undefined where the engine does not answer: then nothing is known of the pods either. */
  cgroupDriver: string | undefined;
}

/** Engine, pods and network of this node, as far as a migration depends on them. */
export async function lookAtNode(
  engine: DockerEngine,
  config: Config,
  folders: ForeignFolders,
): Promise<LookedAt> {
  const findings: Finding[] = [];
  const add = (level: Finding["level"], text: string): void => void findings.push({ level, text });
  let containers: FoundContainer[] = [];
  let cgroupDriver: string | undefined;
  try {
    const { Version } = await engine.version();
    const [major = 1, minor = 0] = engine.connection.apiVersion ?? [];
    const enough = major > 1 || minor >= 41;
    add(
      enough ? "ok" : "bad",
      `Docker Engine ${Version} at ${config.dockerEndpoint} speaks API ${major}.${minor}` +
        (enough ? "" : ", 1.41 (Docker 20.10) is the least"),
    );
    const { LoggingDriver, CgroupDriver } = await engine.info();
    if (LoggingDriver !== "json-file") {
      add("ok", `the engine's log driver is ${LoggingDriver}; new pod containers get json-file`);
    }
    containers = await findContainers(engine);
    findings.push(...podFindings(containers, folders));
    cgroupDriver = CgroupDriver;
  } catch (error) {
    add("bad", `Docker Engine at ${config.dockerEndpoint} does not answer: ${errorText(error)}`);
  }
  findings.push(...(await networkFindings(config, containers)));
  return { findings, containers, cgroupDriver };
}

/** Pods that another runtime has written down in its folder. */
export const checkpointsIn = ({ criDockerd, dockershim }: ForeignFolders): number =>
  [criDockerd, dockershim].reduce(
    (sum, root) => sum + listIfThere(join(root, "sandbox")).length,
    0,
  );

function podFindings(containers: readonly FoundContainer[], folders: ForeignFolders): Finding[] {
  const findings: Finding[] = [];
  const sandboxes = containers.filter(({ identity }) => identity.kind === "podsandbox");
  const members = containers.filter(({ identity }) => identity.kind === "container");
  const legacy = sandboxes.filter(({ identity }) => identity.legacy);
  const running = legacy.filter(({ inspect }) => inspect.State.Running);
  const of = (folder: string): number => {
    const ids = new Set(listIfThere(join(folder, "sandbox")));
    return legacy.filter(({ id }) => ids.has(id)).length;
  };
  findings.push({
    level: "ok",
    text:
      `${count(sandboxes.length - legacy.length, "pod")} of Dockline, ` +
      `${count(legacy.length, "pod")} of another runtime (${running.length} running; ` +
      `checkpoints: ${of(folders.criDockerd)} cri-dockerd, ${of(folders.dockershim)} dockershim)`,
  });
  const foreign = members.filter(({ identity }) => identity.legacy);
  const mounts = foreign.filter(({ inspect }) => (inspect.HostConfig.Mounts ?? []).length > 0);
  const binds = foreign.filter(({ inspect }) => (inspect.HostConfig.Binds ?? []).length > 0);
  if (foreign.length > 0) {
    findings.push({
      level: "ok",
      text: `their ${count(foreign.length, "container")}: ${binds.length} with Binds (0.3 line), ${mounts.length} with Mounts (0.4 line)`,
    });
  }
  const silent = foreign.filter(({ inspect }) => inspect.State.Running && inspect.LogPath === "");
  if (silent.length > 0) {
    findings.push({
      level: "warn",
      text: `${count(silent.length, "container")} not using the json-file driver: "kubectl logs" stays empty for them until they are recreated`,
    });
  }
  return findings;
}

async function networkFindings(
  config: Config,
  containers: readonly FoundContainer[],
): Promise<Finding[]> {
  const network = createNetwork({
    confDir: config.cniConfDir,
    binDirs: config.cniBinDir,
    legacyCacheDir: config.cniCacheDir,
    log: silentLogger,
    clock: systemClock,
  });
  if (config.podCidr !== "") network.setPodCidr(config.podCidr);
  const { ready, message } = await network.status();
  network.close();
  const findings: Finding[] = [
    ready
      ? { level: "ok", text: `CNI configuration in ${config.cniConfDir} is usable` }
      : { level: "bad", text: message },
  ];
  const attached = containers.filter(
    ({ identity, inspect }) =>
      identity.kind === "podsandbox" &&
      identity.legacy &&
      inspect.State.Running &&
      inspect.HostConfig.NetworkMode === "none",
  );
  let without = 0;
  for (const { id } of attached) {
    if ((await readLegacyCache(config.cniCacheDir, id, "eth0")).length === 0) without += 1;
  }
  if (attached.length > 0) {
    findings.push({
      level: without === 0 ? "ok" : "warn",
      text:
        `CNI results of ${attached.length - without} of ${count(attached.length, "pod")} are in ${config.cniCacheDir}` +
        (without === 0 ? "" : "; the others are detached by today's configuration"),
    });
  }
  return findings;
}

/** Of a node without a way to registry.k8s.io the pause image is often one of its own registry. */
export function pauseImageFindings(theirs = "", config: Config): Finding[] {
  const ours = config.podInfraContainerImage;
  if (theirs === "" || lookupReference(theirs) === lookupReference(ours)) return [];
  const text =
    `cri-dockerd's pause image is ${theirs}, Dockline's will be ${ours}: ` +
    "set podInfraContainerImage to keep theirs";
  return [{ level: "warn", text }];
}

/** Names in a folder that may be missing. */
export function listIfThere(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
