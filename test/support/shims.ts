import { readFileSync, readdirSync } from "node:fs";

/** The containerd shim that a container's first process is a child of. */
export function shimOf(pid: number): number {
  const parent = Number(/^PPid:\s*(\d+)$/m.exec(readProc(pid, "status"))?.[1]);
  const name = readProc(parent, "comm").trim();
  if (name !== "containerd-shim") throw new Error(`the parent of ${pid} is ${name}, no shim`);
  return parent;
}

/** Memory that these processes would free together, in bytes. */
export function memoryOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const kib = /^Pss:\s*(\d+) kB$/m.exec(readProc(pid, "smaps_rollup"))?.[1];
    return sum + Number(kib) * 1024;
  }, 0);
}

/** Shims whose command line names this text: an engine's folder. */
export function shimsWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return (
          readProc(pid, "comm").trim() === "containerd-shim" &&
          readProc(pid, "cmdline").includes(text)
        );
      } catch {
        return false;
      }
    });
}

export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readProc(pid, "stat"));
  } catch {
    return false;
  }
}

const readProc = (pid: number, file: string): string =>
  readFileSync(`/proc/${pid}/${file}`, "utf8");
