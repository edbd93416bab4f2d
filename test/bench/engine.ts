import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { ProcessTable } from "./processes.ts";

const lane = join(import.meta.dirname, "..", "lanes", "docker-current");

/** The engine under everybody: the current one from the lane, or one that was named. */
export interface BenchEngine {
  socket: string;
  /** "29.0.0 (API 1.56)". */
  version: string;
  runc: string | undefined;
  cgroupDriver: string;
  processes: ProcessTable;
  stop(): void;
}

export async function findEngine(named: string | undefined): Promise<BenchEngine> {
  const socket = (named ?? process.env["DOCKLINE_TEST_DOCKER_SOCKET"])?.replace(/^unix:\/\//, "");
  if (socket !== undefined) return await describe(socket, () => undefined);
  const name = `bench${process.pid}`;
  const built = execFileSync(lane, ["build"], { encoding: "utf8" }).trim().split("\n");
  const address = execFileSync(lane, ["start", name], { encoding: "utf8" }).trim();
  const stop = (): void => void execFileSync(lane, ["stop", name], { stdio: "inherit" });
  return await describe(address.replace(/^unix:\/\//, ""), stop, built.at(-1));
}

async function describe(socket: string, stop: () => void, runc?: string): Promise<BenchEngine> {
  const version = (await get(socket, "/version")) as { Version: string; ApiVersion: string };
  const { CgroupDriver } = (await get(socket, "/info")) as { CgroupDriver: string };
  const dockerd = owner(socket);
  const processes = new Map(dockerd === undefined ? [] : [["dockerd", dockerd]]);
  // A containerd beside dockerd has its socket in the same folder; one that it started is its child.
  const containerd = findContainerd(socket, dockerd);
  if (containerd !== undefined) processes.set("docker's containerd", containerd);
  const found = runc ?? process.env["DOCKLINE_TEST_RUNC"];
  return {
    socket,
    version: `${version.Version} (API ${version.ApiVersion})`,
    runc: found,
    cgroupDriver: CgroupDriver,
    processes,
    stop,
  };
}

function get(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => (text += chunk));
      answer.on("end", () => resolve(JSON.parse(text)));
    });
    call.on("error", reject);
    call.end();
  });
}

/** The process whose command line has the socket. */
function owner(socket: string): number | undefined {
  return (
    processesOf("dockerd").find(({ command }) => command.includes(socket))?.pid ??
    processesOf("dockerd").at(0)?.pid
  );
}

function findContainerd(socket: string, dockerd: number | undefined): number | undefined {
  const folder = socket.slice(0, socket.lastIndexOf("/"));
  return processesOf("containerd").find(
    ({ command, parent }) => command.includes(`${folder}/`) || parent === dockerd,
  )?.pid;
}

function processesOf(name: string): { pid: number; parent: number; command: string }[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (readFileSync(`/proc/${entry}/comm`, "utf8").trim() !== name) return [];
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? "0");
      const command = readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ");
      return [{ pid: Number(entry), parent, command }];
    } catch {
      return [];
    }
  });
}
