import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

/** Where a run took place: figures mean nothing without it. */
export interface Machine {
  date: string;
  processor: string;
  processors: number;
  memoryGib: number;
  kernel: string;
  distribution: string;
  cgroups: "v1" | "v2";
  engine: string;
  containerd: string;
  node: string;
  commit: string;
}

export interface LoadFigure {
  /** One minute's, of the whole machine, the benchmark included. */
  average: number;
  /** Part of all CPU time since the last look that was stolen by other guests of the host. */
  stolen: number;
}

export function describeMachine(engine: string): Machine {
  const release_ = /^PRETTY_NAME="?([^"\n]*)/m.exec(text("/etc/os-release"))?.[1] ?? "unknown";
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    distribution: release_,
    cgroups: text("/sys/fs/cgroup/cgroup.controllers") === "" ? "v1" : "v2",
    engine,
    containerd: output("containerd", "--version").split(" ")[2] ?? "none",
    node: output("node", "--version"),
    commit: output("git", "rev-parse", "--short", "HEAD"),
  };
}

/** Tells at each call what the machine was busy with since the call before. */
export class LoadWatch {
  readonly seen: LoadFigure[] = [];
  #last = times();

  look(): void {
    const now = times();
    const all = now.all - this.#last.all;
    const stolen = all === 0 ? 0 : (now.stolen - this.#last.stolen) / all;
    this.seen.push({ average: loadavg()[0] ?? 0, stolen });
    this.#last = now;
  }
}

function times(): { all: number; stolen: number } {
  const fields = (text("/proc/stat").split("\n")[0] ?? "").split(/\s+/).slice(1, 9).map(Number);
  return { all: fields.reduce((sum, each) => sum + each, 0), stolen: fields[7] ?? 0 };
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function output(program: string, ...args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
      .trim()
      .replace(/\s+/g, " ");
  } catch {
    return "none";
  }
}
