import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno, readProcessFile } from "./fs.ts";
import { Turns } from "./turns.ts";

/** What identifies a process beyond its pid, which the kernel gives away again. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot at which it started. */
  startTicks: string;
  parent: number;
  session: number;
}

/** Reads `/proc/<pid>/stat`; undefined when there is no such process. */
export function readProcess(pid: number): ProcessIdentity | undefined {
  const fields = statFields(pid);
  if (fields === undefined) return undefined;
  const [, parent, , session] = fields;
  return {
    pid,
    startTicks: fields[19] ?? "",
    parent: Number(parent),
    session: Number(session),
  };
}

/** True while that very process lives; a zombie has let go of everything. */
export function isRunning(known: Pick<ProcessIdentity, "pid" | "startTicks">): boolean {
  return readProcess(known.pid)?.startTicks === known.startTicks && !isZombie(known.pid);
}

/** Milliseconds since a process started; "gone": it has ended; "unknown": /proc does not tell. */
export type ProcessAge = number | "gone" | "unknown";

/** USER_HZ of every architecture that Linux and Docker share. */
const ticksPerSecond = 100;

/** How long a host process of a container has been running, in whole ticks of 10 ms. */
export function processAge(pid: number, containerId: string): ProcessAge {
  const found = readProcess(pid);
  if (found === undefined || isZombie(pid) || !inContainer(pid, containerId)) return "gone";
  const uptimeSeconds = Number(readProcessFile("/proc/uptime")?.split(" ")[0]);
  const ageMs = (uptimeSeconds - Number(found.startTicks) / ticksPerSecond) * 1000;
  // Where something shows another uptime than the kernel's (lxcfs), nothing follows from it.
  return Number.isFinite(ageMs) && ageMs >= 0 ? ageMs : "unknown";
}

/** True when the process is in a cgroup that carries this container id. */
export function inContainer(pid: number, containerId: string): boolean {
  return cgroupsOf(pid)?.includes(containerId) === true;
}

/** `/proc/<pid>/cgroup`; undefined once the process has ended, also between the open and the read. */
export function cgroupsOf(pid: number): string | undefined {
  return readProcessFile(`/proc/${pid}/cgroup`);
}

/**
 * The part of a cgroup's path that is the container's own, undefined where none is: a process may have moved below
 * it, as init systems do.
 */
export function containerPart(path: string, id: string): string | undefined {
  const parts = path.split("/");
  const at = parts.findIndex((part) => part.includes(id));
  return at === -1 ? undefined : parts.slice(0, at + 1).join("/");
}

/**
 * Kills an exec's process and all that came from it, by host pid: Docker has no call for that. The
 * members are the pid itself, its descendants, everything of its session (runc makes each exec a
 * session leader, so orphans that were handed to the container's init are still found) and whatever
 * holds the pipes that were made for this exec (an orphan in a session of its own); each only if it
 * is in the container's cgroup. All are stopped before any is killed, since a tree that forks while
 * its parents die leaves orphans that nothing ties to it. Returns the number that got SIGKILL.
 */
export async function killExecTree(pid: number, containerId: string): Promise<number> {
  const root = readProcess(pid);
  if (root === undefined || !inContainer(pid, containerId)) return 0;
  const turns = new Turns();
  const pipes = await ownPipes(root, containerId, turns);
  const stopped = new Map<number, ProcessIdentity>();
  for (let round = 0; round < 100; round += 1) {
    const fresh = (await execMembers(root, pipes, containerId, turns)).filter(
      (member) => stopped.get(member.pid)?.startTicks !== member.startTicks,
    );
    if (fresh.length === 0) break;
    for (const member of fresh) {
      await turns.next();
      signal(member, "SIGSTOP");
      stopped.set(member.pid, member);
    }
  }
  let killed = 0;
  for (const member of stopped.values()) {
    await turns.next();
    if (signal(member, "SIGKILL")) killed += 1;
  }
  return killed;
}

/**
 * SIGKILL to all processes of a container, for an engine that has lost the shim that would do it. Returns
 * the number that got it.
 */
export function killContainerProcesses(pid: number, containerId: string): number {
  // A piece of an id would be found in the cgroups of others, too.
  if (!/^[0-9a-f]{64}$/.test(containerId)) return 0;
  return containerPids(pid, containerId).filter((each) => {
    // Who it is first: after the look at its cgroup its pid may be another's.
    const found = readProcess(each);
    return found !== undefined && inContainer(each, containerId) && signal(found, "SIGKILL");
  }).length;
}

/** False when it is gone. The identity is read again at the last moment: the pid may be reused. */
function signal(member: ProcessIdentity, name: "SIGSTOP" | "SIGKILL"): boolean {
  if (readProcess(member.pid)?.startTicks !== member.startTicks) return false;
  try {
    process.kill(member.pid, name);
    return true;
  } catch (error) {
    if (isErrno(error, "ESRCH")) return false;
    throw error;
  }
}

async function execMembers(
  root: ProcessIdentity,
  pipes: ReadonlySet<string>,
  containerId: string,
  turns: Turns,
): Promise<ProcessIdentity[]> {
  const all = new Map<number, ProcessIdentity>();
  for (const found of await containerProcesses(root.pid, containerId, turns)) {
    all.set(found.pid, found);
  }
  const belongs = (member: ProcessIdentity): boolean => {
    for (let at: ProcessIdentity | undefined = member; at !== undefined; at = all.get(at.parent)) {
      if (at.pid === root.pid || at.session === root.pid) return true;
    }
    return standardPipes(member.pid).some((pipe) => pipes.has(pipe));
  };
  const members: ProcessIdentity[] = [];
  for (const member of all.values()) {
    await turns.next();
    if (startedBefore(member, root) || !belongs(member)) continue;
    if (inContainer(member.pid, containerId) && !isZombie(member.pid)) members.push(member);
  }
  return members;
}

/**
 * The pipes on the root's standard streams that were made for it: a command may put the container's
 * own output there (`exec >/proc/1/fd/1`), and who holds that one is not of the exec.
 */
async function ownPipes(
  root: ProcessIdentity,
  containerId: string,
  turns: Turns,
): Promise<ReadonlySet<string>> {
  const own = new Set(standardPipes(root.pid));
  if (own.size === 0) return own;
  for (const other of await containerProcesses(root.pid, containerId, turns)) {
    if (startedBefore(other, root)) for (const pipe of standardPipes(other.pid)) own.delete(pipe);
  }
  return own;
}

function standardPipes(pid: number): string[] {
  return [0, 1, 2].flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return link.startsWith("pipe:") ? [link] : [];
    } catch (error) {
      if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return [];
      throw error;
    }
  });
}

function startedBefore(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return BigInt(one.startTicks || "0") < BigInt(other.startTicks || "0");
}

/** Host pids of the container that this process is in, cgroups below its own included. */
export function containerPids(pid: number, containerId: string): number[] {
  return cgroupPids(pid, containerId) ?? machinePids(containerId);
}

async function containerProcesses(
  pid: number,
  containerId: string,
  turns: Turns,
): Promise<ProcessIdentity[]> {
  const processes: ProcessIdentity[] = [];
  for (const member of containerPids(pid, containerId)) {
    await turns.next();
    const found = readProcess(member);
    if (found !== undefined) processes.push(found);
  }
  return processes;
}

/** By the container's own cgroup and those below it; undefined where its files are not to be seen. */
function cgroupPids(pid: number, containerId: string): number[] | undefined {
  for (const line of (cgroupsOf(pid) ?? "").split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const own = containerPart(path, containerId);
    if (own === undefined) continue;
    const pids = pidsBelow(join("/sys/fs/cgroup", controllers.replace(/^name=/, ""), own));
    if (pids?.includes(pid) === true) return pids;
  }
  return undefined;
}

function pidsBelow(folder: string): number[] | undefined {
  const here = readProcessFile(join(folder, "cgroup.procs"));
  if (here === undefined) return undefined;
  const pids = here.split("\n").filter(Boolean).map(Number);
  for (const name of foldersIn(folder)) pids.push(...(pidsBelow(join(folder, name)) ?? []));
  return pids;
}

/** None in one that was removed since. */
function foldersIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

function machinePids(containerId: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && inContainer(pid, containerId));
}

/** The kernel's flag of a task that has begun to exit. */
const exitingFlag = 0x4;

/** True for a process that has ended, waits to be reaped, or is on its way there. */
export function isExiting(pid: number): boolean {
  const flags = statFields(pid)?.[6];
  return flags === undefined || (Number(flags) & exitingFlag) !== 0;
}

function isZombie(pid: number): boolean {
  return statFields(pid)?.[0]?.startsWith("Z") ?? true;
}

/** The command in parentheses may hold spaces and parentheses itself: counted from the last one. */
function statFields(pid: number): string[] | undefined {
  const text = readProcessFile(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ");
}
