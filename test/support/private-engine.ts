import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureEngine } from "../../scripts/dockerd.ts";
import { storeChoice } from "./oci-engine.ts";
import { tempFolder } from "./temp-folder.ts";

/** A dockerd that a test may freeze, kill and start again. */
export interface PrivateEngine {
  readonly socketPath: string;
  /** @param program another dockerd than before, on the same folders */
  start(program?: string): Promise<void>;
  /** SIGSTOP and SIGCONT of dockerd alone: the kernel still accepts connections for it. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL, and wait until it is gone; its containers' processes live on. */
  kill(): Promise<void>;
  /** dockerd's own, and that of the containerd that it started. */
  pid(): number;
  containerdPid(): number;
  /** Where images and containers lie. */
  readonly dataRoot: string;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

/**
 * @param daemon more members of daemon.json
 * @param program a dockerd; without it the lane's, and without a lane the machine's
 * @param prepare gets the engine's data folder, empty, before the first start
 */
export async function startPrivateEngine(
  args: string[] = [],
  daemon: object = {},
  program = process.env["DOCKLINE_TEST_DOCKERD"],
  prepare: (dataRoot: string) => void = () => undefined,
): Promise<PrivateEngine> {
  const temp = tempFolder();
  mkdirSync(temp.path("root"));
  prepare(temp.path("root"));
  const socketPath = temp.path("docker.sock");
  let current = program;
  writeFileSync(temp.path("daemon.json"), JSON.stringify({ ...storeChoice(), ...daemon }));
  const pidFile = temp.path("pid");
  let stop: (() => Promise<void>) | undefined;
  const pid = (): number => Number(readFileSync(pidFile, "utf8"));
  const engine: PrivateEngine = {
    socketPath,
    dataRoot: temp.path("root"),
    pid,
    containerdPid: () => Number(readFileSync(temp.path("exec/containerd/containerd.pid"), "utf8")),
    start: async (other) => {
      // One that runs is left alone: what ends it must not be forgotten.
      if (stop !== undefined) return;
      current = other ?? current;
      ({ stop } = await ensureEngine(socketPath, {
        logFile: temp.path("log"),
        ...(current === undefined ? {} : { program: current }),
        args: [
          ...["--config-file", temp.path("daemon.json")],
          ...["--data-root", temp.path("root"), "--exec-root", temp.path("exec")],
          ...["--pidfile", pidFile, "--bridge=none", "--iptables=false", "--ip-forward=false"],
          ...args,
        ],
      }));
    },
    freeze: () => void process.kill(pid(), "SIGSTOP"),
    thaw: () => void process.kill(pid(), "SIGCONT"),
    kill: async () => {
      const victim = pid();
      process.kill(victim, "SIGKILL");
      while (alive(victim)) await sleep(20);
      // Its containerd dies with it, but as nobody's child: where no init reaps it, its pid still
      // "lives", and the next dockerd would wait for it.
      rmSync(temp.path("exec/containerd/containerd.pid"), { force: true });
      stop = undefined;
    },
    stop: async () => {
      await stop?.();
      stop = undefined;
    },
    remove: async () => {
      // Processes of containers outlive an engine that was killed.
      if (stop === undefined) await engine.start();
      for (const id of docker(socketPath, "ps", "-aq")) docker(socketPath, "rm", "-fv", id);
      await engine.stop();
      for (const mount of mountsBelow(join(socketPath, ".."))) {
        execFileSync("umount", ["-l", mount], { stdio: "ignore" });
      }
      temp.remove();
    },
  };
  await engine.start();
  return engine;
}

function docker(socketPath: string, ...args: string[]): string[] {
  const text = execFileSync("docker", ["-H", `unix://${socketPath}`, ...args], {
    encoding: "utf8",
  });
  return text.split("\n").filter((line) => line !== "");
}

function mountsBelow(folder: string): string[] {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

/** A child that nobody has waited for yet is gone as well. */
function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
