import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerLogs, LogTarget } from "../../../src/logs/container-logs.ts";
import { Pumps } from "../../../src/logs/pumps.ts";
import { silentLogger } from "../../../src/log.ts";
import { systemClock } from "../../../src/sys/clock.ts";

export const ID = "a".repeat(64);

/** A folder with Docker's, the kubelet's and Dockline's parts. */
export interface Node {
  root: string;
  stateDir: string;
  target: LogTarget;
  /** Path of the CRI log. */
  logFile: string;
  /** `resumes`: as after a restart, when `resume` is going to be called. */
  make(options?: {
    resumes: boolean;
    mustAnswer?: (folder: string) => Promise<void>;
  }): ContainerLogs;
  cleanUp(): Promise<void>;
}

export function makeNode(id = ID): Node {
  const root = mkdtempSync(join(tmpdir(), "dockline-logs-"));
  const made: ContainerLogs[] = [];
  const logDirectory = join(root, "pods", "ns_pod_uid");
  return {
    root,
    stateDir: join(root, "state"),
    target: {
      containerId: id,
      sourcePath: join(root, "docker", "containers", id, `${id}-json.log`),
      logDirectory,
      logPath: "app/0.log",
      format: "cri",
    },
    logFile: join(logDirectory, "app/0.log"),
    make: (options = { resumes: false }) => {
      const logs = new Pumps({
        stateDir: join(root, "state"),
        clock: systemClock,
        log: silentLogger,
        ...options,
      });
      made.push(logs);
      return logs;
    },
    cleanUp: async () => {
      for (const logs of made) await logs.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The saved position of a container in the form of older releases, whose file for it counts when it is there. */
export function positionIn(stateDir: string, id = ID): string {
  const file = join(stateDir, "logs", `${id}.json`);
  if (existsSync(file)) return readFileSync(file, "utf8");
  if (!existsSync(join(stateDir, "logs", "positions.journal"))) return '{"v":1}';
  const lines = readFileSync(join(stateDir, "logs", "positions.journal"), "utf8").split("\n");
  const last = lines.filter((line) => line.includes(`"id":"${id}"`)).at(-1) ?? "{}";
  const { source, target, drained } = JSON.parse(last) as Record<string, unknown>;
  return JSON.stringify({ v: 1, source, target, drained });
}

/** Contents of full lines. */
export function contents(path: string): string[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => line.split(" ").slice(3).join(" "));
}

export function openFiles(under: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkOf(fd);
      return path.startsWith(under) ? [path] : [];
    } catch {
      return [];
    }
  });
}

const readlinkOf = (fd: string): string => readlinkSync(`/proc/self/fd/${fd}`);

export async function until(what: string, test: () => boolean, ms = 4000): Promise<void> {
  const end = performance.now() + ms;
  while (!test()) {
    if (performance.now() > end) throw new Error(`not within ${String(ms)} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What the promise rejects with. */
export async function rejection(
  work: Promise<unknown>,
): Promise<{ kind?: string; message: string }> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error("did not reject");
}
