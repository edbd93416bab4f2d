/*
 * src/sys: files, processes, clock, locks and the like, for every other folder. Only this file starts
 * processes.
 * Not here: anything about Docker, the CRI or CNI.
 */
import { spawn } from "node:child_process";
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { beginStep } from "./call-trace.ts";
import type { TraceStep } from "./call-trace.ts";

export interface RunOptions {
  /** Complete environment of the child; nothing is inherited (T29). */
  env?: Record<string, string>;
  stdin?: string | Uint8Array;
  /** The whole process group is killed with SIGKILL after this. */
  timeoutMs: number;
  signal?: AbortSignal;
  /** More output than this on either stream kills the child (T29). Default 1 MiB. */
  maxOutputBytes?: number;
  cwd?: string;
  /** How the step is named in traces; default: the program's base name. */
  step?: { kind: TraceStep["kind"]; name: string };
}

export interface RunResult {
  /** Exit code; 128 + n when signal n ended the child. */
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** A child that could not be started or was ended by us; `reason` says why. */
export class ProcessError extends Error {
  override readonly name = "ProcessError";
  readonly reason: "spawn" | "timeout" | "aborted" | "output";
  constructor(reason: ProcessError["reason"], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}

/** How long a killed group may take to let go of its pipes. */
const killGraceMs = 2000;

let forks = 0;

/** Processes started by this process so far: the second performance gate after Docker requests. */
export function forkCount(): number {
  return forks;
}

const minimalEnvironment = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

/**
 * Runs a program to its end without a shell and in a process group of its own, so that a plugin's
 * children die with it. Rejects with ProcessError; a non-zero exit code is a result.
 */
export async function runProcess(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const limit = options.maxOutputBytes ?? 1 << 20;
  if (options.signal?.aborted === true) throw new ProcessError("aborted", `${program}: aborted`);
  const step = beginStep(
    options.step?.kind ?? "process",
    options.step?.name ?? program.slice(program.lastIndexOf("/") + 1),
  );
  const result = await new Promise<RunResult>((resolve, reject) => {
    forks += 1;
    const child = spawn(program, args, {
      env: options.env ?? minimalEnvironment,
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const sizes = { stdout: 0, stderr: 0 };
    let failure: ProcessError | undefined;
    let lastResort: NodeJS.Timeout | undefined;
    const end = (error: ProcessError): void => {
      failure ??= error;
      killGroup(child);
      // A descendant that left the group may hold the pipes, and a process in uninterruptible sleep
      // does not die: the caller is answered all the same.
      lastResort ??= setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        child.stdin.destroy();
        settle(() => reject(failure ?? error));
      }, killGraceMs);
    };
    const timer = setTimeout(() => {
      end(new ProcessError("timeout", `${program}: no end after ${options.timeoutMs} ms`));
    }, options.timeoutMs);
    const onAbort = (): void => end(new ProcessError("aborted", `${program}: aborted`));
    options.signal?.addEventListener("abort", onAbort, { once: true });
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => {
        sizes[name] += chunk.length;
        if (sizes[name] > limit) {
          end(new ProcessError("output", `${program}: more than ${limit} bytes on ${name}`));
        } else chunks[name].push(chunk);
      });
    }
    const settle = (work: () => void): void => {
      clearTimeout(timer);
      clearTimeout(lastResort);
      options.signal?.removeEventListener("abort", onAbort);
      work();
    };
    child.on("error", (cause) => {
      settle(() => reject(new ProcessError("spawn", `${program}: ${cause.message}`, { cause })));
    });
    child.on("close", (code, signal) => {
      settle(() => {
        if (failure !== undefined) reject(failure);
        else {
          resolve({
            exitCode: code ?? 128 + (signal === null ? 0 : signalNumber(signal)),
            stdout: Buffer.concat(chunks.stdout).toString("utf8"),
            stderr: Buffer.concat(chunks.stderr).toString("utf8"),
          });
        }
      });
    });
    // A child that exits without reading its input is judged by its exit code, not by EPIPE.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.stdin ?? "");
  }).catch((error: unknown) => {
    step.end();
    throw error;
  });
  step.end(result.exitCode);
  return result;
}

/** Starts a long-lived helper (the port-forward dialler); counted, never through a shell. */
export function startProcess(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  forks += 1;
  return spawn(program, args, { ...options, shell: false });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    child.kill("SIGKILL");
  }
}

function signalNumber(signal: NodeJS.Signals): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGABRT: 6,
    SIGKILL: 9,
    SIGSEGV: 11,
    SIGPIPE: 13,
    SIGTERM: 15,
  };
  return numbers[signal] ?? 0;
}
