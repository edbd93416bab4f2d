import { existsSync } from "node:fs";
import { join } from "node:path";
import { facadeEndpoint } from "../../config/options.ts";
import type { Config } from "../../config/options.ts";
import { createDockerEngine } from "../../engine/docker-engine.ts";
import { socketPathOf } from "../../engine/endpoint.ts";
import type { ContainerSummary } from "../../engine/types.ts";
import { errorText } from "../../errors.ts";
import { silentLogger } from "../../log.ts";
import { createForwardPolicySource } from "../../network/forward-policy.ts";
import { readGivenUp } from "../../state/given-up.ts";
import { systemClock } from "../../sys/clock.ts";
import { isErrno, readTextIfExists } from "../../sys/fs.ts";
import type { RunResult } from "../../sys/process.ts";
import { findDockerd } from "../dockerd-process.ts";
import { findLeftOvers } from "../leftovers.ts";
import { askVersion, unitProgram } from "../kubelet/version.ts";
import { listIfThere } from "../migrate-node.ts";
import type { ForeignFolders, FoundProcess } from "../migrate-node.ts";
import type { EngineFacts, LeftoverFacts, NodeFacts, ServerFacts } from "./facts.ts";
import { socketOf } from "./kubelet.ts";
import { readCni } from "./read-cni.ts";
import { readDaemon } from "./read-daemon.ts";
import { readEditing, readEngine, readRunc } from "./read-engine.ts";
import { readDisk, readSocket } from "./read-files.ts";
import { readKubelet } from "./read-kubelet.ts";
import { readDockerMounts } from "./read-mounts.ts";
import { readNri } from "./read-nri.ts";
import { readEdited, readOwed } from "./read-owed.ts";

export interface ReadOptions {
  config: Config;
  folders: ForeignFolders;
  kubeletFlags: string | undefined;
  kubeletConfig: string | undefined;
  daemonJson: string | undefined;
}

/** What the doctor asks beyond files and Docker; a test puts its own in. */
export interface Surroundings {
  processes(program: string): readonly FoundProcess[];
  iptables?: (program: string, args: readonly string[]) => Promise<RunResult>;
  systemd: boolean;
  /** Where plugins of the Node Resource Interface connect, in place of the usual path. */
  nriSocket?: string;
  /** The CRI's Status of the server at this endpoint. Never rejects. */
  status?: (endpoint: string, timeoutMs: number) => Promise<ServerFacts>;
}

/** Which containers of the kubelet's have, whoever made them. */
const dockershimLabel = "io.kubernetes.docker.type";
/** The kubelet waits longer, but a Status takes milliseconds. */
const statusMs = 5_000;
const units = [
  "multi-user.target.wants/cri-docker.service",
  "sockets.target.wants/cri-docker.socket",
];

/** Reads all, and changes nothing. What is missing or down becomes a fact, not an error. */
export async function readNode(options: ReadOptions, around: Surroundings): Promise<NodeFacts> {
  const { config } = options;
  const docker = createDockerEngine({ endpoint: config.dockerEndpoint, log: silentLogger });
  try {
    let engine: EngineFacts | undefined;
    let engineTrouble = "";
    try {
      engine = await readEngine(docker, config);
    } catch (error) {
      engineTrouble = errorText(error);
    }
    const forward = await createForwardPolicySource({
      clock: systemClock,
      log: silentLogger,
      ...(around.iptables === undefined ? {} : { run: around.iptables }),
    }).current();
    const docklineSocket = await readSocket(socketOf(config.containerRuntimeEndpoint));
    const daemon = await readDaemon(config.dockerEndpoint, options.daemonJson);
    const containers =
      engine === undefined ? undefined : await docker.listContainers([dockershimLabel]);
    const dockerd = findDockerd(socketPathOf(config.dockerEndpoint));
    // A full disk is a reason for Docker to be down.
    const images = engine?.info.DockerRootDir ?? daemon.dataRoot;
    return {
      config,
      root: process.geteuid?.() === 0,
      systemd: around.systemd,
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      engine,
      engineTrouble,
      daemon,
      kubelet: await readKubelet({
        flags: options.kubeletFlags,
        config: options.kubeletConfig,
        running: () => around.processes("kubelet"),
        version: askVersion,
        facade: facadeEndpoint(config),
        ...(around.systemd ? { unitProgram } : {}),
      }),
      forward,
      ipForward: await readIpForward(),
      cni: await readCni(config),
      disks: [
        await readDisk(images, "Docker's folder", true),
        await readDisk(config.stateDir, "Dockline's folder", false),
      ],
      dockerSocket: await readSocket(socketPathOf(config.dockerEndpoint)),
      docklineSocket,
      server: docklineSocket.answers
        ? await around.status?.(`unix://${docklineSocket.path}`, statusMs)
        : undefined,
      runc: engine === undefined ? undefined : await readRunc(engine),
      leftovers: await readLeftovers(options, around, containers),
      givenUp: await givenUpNotes(config.stateDir),
      editing: engine === undefined ? [] : await readEditing(engine),
      edited: await readEdited(config.runDir, containers ?? []),
      owed: await readOwed(config, containers),
      dockerMounts: dockerd === undefined ? undefined : readDockerMounts(dockerd.pid),
      nri: await readNri(daemon, config, around.nriSocket),
    };
  } finally {
    docker.close();
  }
}

async function givenUpNotes(stateDir: string): Promise<NonNullable<NodeFacts["givenUp"]>> {
  try {
    return await readGivenUp(stateDir);
  } catch (error) {
    if (isErrno(error, "EACCES")) return "unreadable";
    throw error;
  }
}

async function readIpForward(): Promise<boolean | undefined> {
  const text = await readTextIfExists("/proc/sys/net/ipv4/ip_forward");
  return text === undefined ? undefined : text.trim() !== "0";
}

async function readLeftovers(
  { folders }: ReadOptions,
  around: Surroundings,
  containers: readonly ContainerSummary[] | undefined,
): Promise<LeftoverFacts> {
  const existing = containers === undefined ? undefined : new Set(containers.map(({ Id }) => Id));
  const checkpoints: LeftoverFacts["checkpoints"][number][] = [];
  for (const [runtime, root] of [
    ["cri-dockerd", folders.criDockerd],
    ["dockershim", folders.dockershim],
  ] as const) {
    try {
      if (listIfThere(join(root, "sandbox")).length === 0) continue;
      const files = existing === undefined ? undefined : await findLeftOvers(root, existing);
      checkpoints.push({ runtime, root, files });
    } catch (error) {
      if (!isErrno(error, "EACCES")) throw error;
      checkpoints.push({ runtime, root, files: undefined });
    }
  }
  return {
    checkpoints,
    criDockerd: around.processes("cri-dockerd").map(({ pid }) => pid),
    units: units
      .filter((unit) => existsSync(join("/etc/systemd/system", unit)))
      .map((unit) => unit.replace(/^.*\//, "")),
  };
}
