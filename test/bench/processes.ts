import { readdirSync, readFileSync } from "node:fs";

/** A process and everything it started: helpers count as well. */
export function withDescendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? "0");
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const all = [pid];
  for (let at = 0; at < all.length; at += 1) all.push(...(children.get(all[at] ?? 0) ?? []));
  return all;
}

/** VmRSS in KiB. */
export function residentKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? "0");
}

/** CPU time in ms of all threads that the process has now; needs no clock ticks. */
export function cpuMs(pid: number): number {
  let ns = 0;
  let tasks: string[] = [];
  try {
    tasks = readdirSync(`/proc/${pid}/task`);
  } catch {
    // It has ended.
  }
  for (const task of tasks) {
    ns += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(" ")[0] ?? "0");
  }
  return ns / 1e6;
}

/** Named processes that are measured; a name stands for one process and its helpers. */
export type ProcessTable = ReadonlyMap<string, number>;

export function cpuOf(table: ProcessTable): Map<string, number> {
  return new Map([...table].map(([name, pid]) => [name, cpuMs(pid)]));
}

export function memoryOf(pid: number): { residentMib: number; processes: number } {
  const pids = withDescendants(pid);
  const kib = pids.reduce((sum, each) => sum + residentKib(each), 0);
  return { residentMib: kib / 1024, processes: pids.length };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
