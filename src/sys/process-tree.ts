import { readFileSync, readdirSync } from "node:fs";
import { isErrno } from "./fs.ts";

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
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The command in parentheses may hold spaces and parentheses itself: count from the last one.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
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

/** True when the process is in a cgroup that carries this container id. */
export function inContainer(pid: number, containerId: string): boolean {
  return readProc(`/proc/${pid}/cgroup`)?.includes(containerId) === true;
}

/**
 * Kills an exec's process and all that came from it, by host pid: Docker has no call for that. The
 * members are the pid itself, its descendants, and everything of its session (runc makes each exec a
 * session leader, so orphans that were handed to the container's init are still found); each only
 * if it is in the container's cgroup. Repeats until nothing is left, since a tree can fork while it
 * is being killed. Returns the number of processes that got SIGKILL.
 */
export function killExecTree(pid: number, containerId: string): number {
  let killed = 0;
  for (let round = 0; round < 10; round += 1) {
    const members = execMembers(pid, containerId);
    if (members.length === 0) break;
    for (const member of members) {
      // The identity is read again at the last moment: between list and kill the pid may be reused.
      if (readProcess(member.pid)?.startTicks !== member.startTicks) continue;
      try {
        process.kill(member.pid, "SIGKILL");
        killed += 1;
      } catch (error) {
        if (!isErrno(error, "ESRCH")) throw error;
      }
    }
  }
  return killed;
}

function execMembers(pid: number, containerId: string): ProcessIdentity[] {
  const all = new Map<number, ProcessIdentity>();
  for (const candidate of containerPids(pid, containerId)) {
    const found = readProcess(candidate);
    if (found !== undefined) all.set(candidate, found);
  }
  const belongs = (member: ProcessIdentity): boolean => {
    for (let at: ProcessIdentity | undefined = member; at !== undefined; at = all.get(at.parent)) {
      if (at.pid === pid || at.session === pid) return true;
    }
    return false;
  };
  return [...all.values()].filter(
    (member) => belongs(member) && inContainer(member.pid, containerId) && !isZombie(member.pid),
  );
}

/** Pids of the whole machine that may be the container's; its cgroup file is not always ours to see. */
function containerPids(pid: number, containerId: string): number[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.filter((candidate) => candidate >= pid || inContainer(candidate, containerId));
}

function isZombie(pid: number): boolean {
  const text = readProc(`/proc/${pid}/stat`);
  return text === undefined || text.slice(text.lastIndexOf(")") + 2).startsWith("Z");
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
}
