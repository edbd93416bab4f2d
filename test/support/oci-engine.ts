import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ensureEngine, type StartedEngine } from "../../scripts/dockerd.ts";
import { busyboxFiles, imageArchive, type ImageFile } from "../../scripts/image-archive.ts";
import { pauseImageArchive } from "../../src/images/pause-image.ts";
import { docklineOci } from "./oci-program.ts";
import { tempFolder } from "./temp-folder.ts";

export const editsFolder = "/run/dockline/oci";
export const busybox = "dockline.test/busybox:1";
export const pause = "dockline.test/pause:1";
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const deploy = (name: string): string =>
  fileURLToPath(new URL(`../../deploy/${name}`, import.meta.url));
export { docklineOci };

/** Applets as symbolic links: a hard link's own mode would become busybox's. */
const linked = (file: ImageFile): ImageFile =>
  file.hardLinkTo === undefined ? file : { path: file.path, symlinkTo: "busybox" };

/** A runc that maps the ids of mounts; undefined where only an older one is installed. */
export function newRunc(): string | undefined {
  const candidates = [process.env["DOCKLINE_TEST_RUNC"], "/usr/local/sbin/runc", "/usr/sbin/runc"];
  return candidates.find((path) => {
    if (path === undefined) return false;
    const asked = spawnSync(path, ["features"], { encoding: "utf8" });
    return asked.status === 0 && asked.stdout.includes('"idmap"');
  });
}

export interface OciEngine {
  /** Runs the docker client; throws with its stderr. */
  docker(...args: string[]): string;
  /** The client's stderr when the command fails; throws when it does not. */
  dockerFails(...args: string[]): string;
  /** Resolves with the client's exit code. */
  dockerInBackground(...args: string[]): Promise<number | null>;
  folder(name: string): string;
  /** SIGKILL to the daemon, and a new one on the same folders. */
  crash(): Promise<void>;
  remove(): Promise<void>;
}

/** Engines from 29 on start with the containerd store; this asks for the lane's. */
export function storeChoice(): { features?: Record<string, boolean> } {
  const store = process.env["DOCKLINE_TEST_STORE"];
  return store === undefined
    ? {}
    : { features: { "containerd-snapshotter": store === "containerd" } };
}

/** An engine of its own with the named runtimes: dockline-oci with these arguments. */
export async function startOciEngine(
  runtimes: Readonly<Record<string, readonly string[]>>,
  more: { program?: string; daemon?: object; dockerd?: string } = {},
): Promise<OciEngine> {
  const temp = tempFolder();
  // An engine with userns-remap wants its remapped root to reach its folders.
  chmodSync(temp.path(""), 0o711);
  mkdirSync(editsFolder, { recursive: true, mode: 0o711 });
  const runtimeOf = ([name, runtimeArgs]: [string, readonly string[]]): [string, object] => [
    name,
    { path: more.program ?? docklineOci, runtimeArgs },
  ];
  const { features, ...daemon } = (more.daemon ?? {}) as { features?: object };
  const config = {
    ...daemon,
    runtimes: Object.fromEntries(Object.entries(runtimes).map(runtimeOf)),
    features: { ...features, ...storeChoice().features },
  };
  writeFileSync(temp.path("daemon.json"), JSON.stringify(config));
  const socket = temp.path("s");
  let engine: StartedEngine;
  const dockerd = more.dockerd ?? process.env["DOCKLINE_TEST_DOCKERD"];
  const start = (): Promise<StartedEngine> =>
    ensureEngine(socket, {
      logFile: temp.path("log"),
      ...(dockerd === undefined ? {} : { program: dockerd }),
      args: [
        `--config-file=${temp.path("daemon.json")}`,
        `--data-root=${temp.path("root")}`,
        `--exec-root=${temp.path("exec")}`,
        `--pidfile=${temp.path("pid")}`,
        ...["--bridge=none", "--iptables=false", "--ip-forward=false"],
      ],
    });
  try {
    engine = await start();
  } catch (error) {
    temp.remove();
    throw error;
  }
  const client = (args: readonly string[], input?: Uint8Array) =>
    spawnSync("docker", ["-H", `unix://${socket}`, ...args], {
      encoding: "utf8",
      ...(input === undefined ? {} : { input }),
    });
  const docker = (...args: string[]): string => {
    const done = client(args);
    if (done.status !== 0) throw new Error(`docker ${args.join(" ")}: ${done.stderr}`);
    return done.stdout.trim();
  };
  for (const archive of [
    pauseImageArchive({
      binary: readFileSync(deploy(`pause/pause-${architecture}`)),
      architecture,
      reference: pause,
    }),
    await imageArchive({
      references: [busybox],
      files: [...busyboxFiles().map(linked), { path: "owned", uid: 1000, gid: 1001, content: "x" }],
      config: { Env: ["PATH=/bin"] },
    }),
  ]) {
    const chunks: Buffer[] = [];
    for await (const chunk of archive) chunks.push(chunk as Buffer);
    const loaded = client(["load", "-q"], Buffer.concat(chunks));
    if (loaded.status !== 0) throw new Error(loaded.stderr);
  }
  return {
    docker,
    dockerFails: (...args) => {
      const done = client(args);
      if (done.status === 0) throw new Error(`docker ${args.join(" ")} succeeded`);
      return done.stderr;
    },
    dockerInBackground: (...args) =>
      new Promise((resolve, reject) => {
        const child = spawn("docker", ["-H", `unix://${socket}`, ...args], { stdio: "ignore" });
        child.on("error", reject).on("exit", resolve);
      }),
    folder: (name) => temp.path(name),
    crash: async () => {
      // A containerd of the daemon's own gets a signal with its end.
      const pids = ["pid", "exec/containerd/containerd.pid"]
        .filter((name) => existsSync(temp.path(name)))
        .map((name) => readFileSync(temp.path(name), "utf8").trim());
      process.kill(Number(pids[0]), "SIGKILL");
      await until("the engine is gone", () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
      rmSync(temp.path("pid"));
      engine = await start();
    },
    remove: async () => {
      const ids = docker("ps", "-aq").split("\n").filter(Boolean);
      if (ids.length > 0) docker("rm", "-fv", ...ids);
      await engine.stop();
      for (const point of mountsUnder(temp.path(""))) execFileSync("umount", ["-l", point]);
      temp.remove();
    },
  };
}

/** Mount points of this namespace in or below a folder, deepest first. */
export function mountsUnder(folder: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((point) => point.startsWith(folder))
    .reverse();
}

export function writeEdits(id: string, edits: Record<string, unknown>): void {
  writeFileSync(`${editsFolder}/${id}.json`, JSON.stringify({ v: 1, containerId: id, ...edits }), {
    mode: 0o600,
  });
}

export function removeEdits(id: string): void {
  rmSync(`${editsFolder}/${id}.json`, { force: true });
}

/** Start time in clock ticks since boot: with the pid it names one process for good. */
export function startTicks(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

/** Waits until the condition holds; throws with the text after 10 s. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (let waitedMs = 0; !condition(); waitedMs += 50) {
    if (waitedMs > 10_000) throw new Error(`still not: ${what}`);
    await sleep(50);
  }
}
