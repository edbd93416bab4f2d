import { runProcess } from "../../sys/process.ts";
import type { FoundProcess } from "../migrate-node.ts";
import { lookAtUnits } from "../systemd-units.ts";

export interface VersionSources {
  /** What a program says of its version; "" when there is none. */
  version(program: string): Promise<string>;
  unitProgram?(): Promise<string | undefined>;
}

/**
 * Minor of the kubelet's version 1.x. Asked is the very program that runs, which its path may not be
 * any more after an upgrade; of one that does not run, the program that its unit starts. Undefined: unknown.
 */
export async function readMinor(
  running: FoundProcess | undefined,
  sources: VersionSources,
): Promise<number | undefined> {
  const programs: string[] = [];
  if (running === undefined) {
    const program = await sources.unitProgram?.();
    if (program !== undefined) programs.push(program);
  } else {
    programs.push(`/proc/${running.pid}/exe`);
    // In a mount namespace of its own it may need libraries that are not here.
    const first = running.args[0] ?? "";
    if (first.startsWith("/")) programs.push(first);
  }
  for (const program of programs) {
    const minor = /^Kubernetes v1\.(\d+)\./.exec(await sources.version(program))?.[1];
    if (minor !== undefined) return Number(minor);
  }
  return undefined;
}

export async function askVersion(program: string): Promise<string> {
  try {
    return (await runProcess(program, ["--version"], { timeoutMs: 5_000 })).stdout;
  } catch {
    return "";
  }
}

export async function unitProgram(): Promise<string | undefined> {
  try {
    const units = await lookAtUnits(["kubelet.service"]);
    return units?.get("kubelet.service")?.command[0];
  } catch {
    return undefined;
  }
}
