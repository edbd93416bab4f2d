import { readdirSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { readProcessFile } from "../sys/fs.ts";

/** The dockerd that serves a socket. */
export interface DockerdProcess {
  pid: number;
  arguments: string[];
}

/**
 * Found by who holds the listening socket, since a machine may run several and pid files lie; systemd
 * holds it too where it passes it on, but is not called dockerd.
 */
export function findDockerd(socketPath: string): DockerdProcess | undefined {
  const inodes = new Set(listeningInodes(socketPath));
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || !isDockerd(name)) continue;
    if (!socketsOf(name).some((inode) => inodes.has(inode))) continue;
    return { pid: Number(name), arguments: commandLineOf(name).slice(1) };
  }
  return undefined;
}

/** Program and arguments of a process; empty for one that is gone. */
export function commandLineOf(pid: number | string): string[] {
  return (readProcessFile(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1);
}

/** Processes that hold a listening socket at this path; systemd, which passes sockets on, comes last. */
export function listenersOn(socketPath: string): { pid: number; name: string }[] {
  const inodes = new Set(listeningInodes(socketPath));
  const found: { pid: number; name: string }[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (!socketsOf(pid).some((inode) => inodes.has(inode))) continue;
    const name = readProcessFile(`/proc/${pid}/comm`)?.trim() ?? "";
    found.push({ pid: Number(pid), name });
  }
  return found.sort((a, b) => Number(a.pid === 1) - Number(b.pid === 1));
}

/** By the start of its name: builds that lie beside each other carry a version behind it. */
function isDockerd(pid: string): boolean {
  return readProcessFile(`/proc/${pid}/comm`)?.startsWith("dockerd") === true;
}

/** Value of `--name value` or `--name=value`. */
export function argumentOf(daemon: DockerdProcess, name: string): string | undefined {
  const { arguments: args } = daemon;
  const at = args.findIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (at < 0) return undefined;
  return args[at] === name ? args[at + 1] : args[at]?.slice(name.length + 1);
}

function listeningInodes(socketPath: string): string[] {
  const wanted = resolved(socketPath);
  return (readProcessFile("/proc/net/unix") ?? "").split("\n").flatMap((line) => {
    // Num RefCount Protocol Flags Type St Inode Path
    const fields = line.trim().split(/\s+/);
    const [, , , , , , inode = "", path = ""] = fields;
    return path.startsWith("/") && resolved(path) === wanted ? [inode] : [];
  });
}

/** /var/run is a link to /run: both names are in use. */
function resolved(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

function socketsOf(pid: string): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(join(folder, fd)))?.[1] ?? [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
