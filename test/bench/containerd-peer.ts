import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { busyboxFiles, imageArchive } from "../../scripts/image-archive.ts";
import { pauseImageArchive } from "../../src/images/pause-image.ts";
import { pauseProgram } from "../../src/images/pause-program.ts";
import { withDescendants } from "./processes.ts";

const pauseImage = "dockline.test/pause:1";

/** Debian's containerd as a CRI runtime, with everything of its own: the yardstick of the benchmark. */
export class ContainerdPeer {
  readonly endpoint: string;
  readonly logDir: string;
  readonly #folder: string;
  readonly #cniConfDir: string;
  readonly #runc: string | undefined;
  #child: ChildProcess | undefined;
  /** `runc` is the OCI runtime that the engine uses, so that both start the same one. */
  constructor(options: { folder: string; cniConfDir: string; runc: string | undefined }) {
    this.#folder = options.folder;
    this.#cniConfDir = options.cniConfDir;
    this.#runc = options.runc;
    this.endpoint = `unix://${options.folder}/containerd.sock`;
    this.logDir = join(options.folder, "pods");
  }

  static installed(): boolean {
    return existsSync("/usr/bin/containerd");
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** With images: `image` is the name that the busybox gets. */
  async start(image: string): Promise<void> {
    const folder = this.#folder;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "config.toml"), this.#config());
    const log = openSync(join(folder, "log"), "a");
    const path = this.#runc === undefined ? "" : `${dirname(this.#runc)}:`;
    this.#child = spawn("containerd", ["--config", join(folder, "config.toml")], {
      stdio: ["ignore", log, log],
      env: { ...process.env, PATH: `${path}${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
      detached: true,
    });
    const files = { busybox: join(folder, "busybox.tar"), pause: join(folder, "pause.tar") };
    const config = { Env: ["PATH=/bin"], Cmd: ["sh"] };
    const busybox = await imageArchive({ references: [image], files: busyboxFiles(), config });
    await pipeline(busybox, createWriteStream(files.busybox));
    const architecture = process.arch === "arm64" ? "arm64" : "amd64";
    const binary = await pauseProgram(architecture);
    const pause = pauseImageArchive({ binary, architecture, reference: pauseImage });
    await pipeline(pause, createWriteStream(files.pause));
    await this.#untilUp();
    for (const file of Object.values(files)) this.#ctr("images", "import", file);
  }

  /** Ends it, its shims and their processes, and unmounts what is below its folder. */
  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined && child.exitCode === null) {
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await closed;
    }
    for (const pid of this.#shims()) {
      for (const each of withDescendants(pid).reverse()) end(each);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    const mounts = execFileSync("cat", ["/proc/mounts"], { encoding: "utf8" }).split("\n");
    const below = mounts
      .map((line) => line.split(" ")[1] ?? "")
      .filter((target) => target.startsWith(`${this.#folder}/`));
    for (const target of below.sort().reverse()) {
      try {
        execFileSync("umount", ["-l", target], { stdio: "ignore" });
      } catch {
        // Gone with what was mounted over it.
      }
    }
  }

  #shims(): number[] {
    const found = execFileSync("ps", ["-eo", "pid=,args="], { encoding: "utf8" }).split("\n");
    return found
      .filter((line) => line.includes("containerd-shim") && line.includes(`${this.#folder}/`))
      .map((line) => Number.parseInt(line, 10));
  }

  async #untilUp(): Promise<void> {
    for (let left = 200; left > 0; left -= 1) {
      if (this.#child?.exitCode !== null) throw new Error(`containerd ended: ${this.#folder}/log`);
      try {
        this.#ctr("version");
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    throw new Error(`containerd is not up after 20 s: ${this.#folder}/log`);
  }

  #ctr(...args: string[]): void {
    const socket = this.endpoint.slice("unix://".length);
    execFileSync("ctr", ["--address", socket, "--namespace", "k8s.io", ...args], { stdio: "pipe" });
  }

  #config(): string {
    const runc = this.#runc === undefined ? "" : `BinaryName = "${this.#runc}"`;
    return `version = 2
root = "${this.#folder}/root"
state = "${this.#folder}/state"
[grpc]
  address = "${this.#folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${this.#folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${this.#cniConfDir}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      ${runc}
`;
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
