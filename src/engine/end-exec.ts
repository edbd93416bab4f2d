import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { Engine } from "./engine.ts";
import { isStatus } from "./errors.ts";

export interface EndExecDeps {
  engine: Pick<Engine, "inspectExec">;
  clock: Pick<Clock, "sleep">;
  /** SIGKILL to an exec's whole process tree, by host pid; returns how many got it. */
  killExecTree(pid: number, containerId: string): Promise<number>;
  /**
   * The exec's host pid without Docker's help; "none" when it has none (it has not started, or has ended),
   * "unknown" when that cannot be found out now.
   */
  pidOf?(execId: string, containerId: string): number | "none" | "unknown";
  /** Told of each exec that has ended, or was never started. */
  ended?(execId: string): void;
  /** Ends the search; the next process continues it from what is noted on disk. */
  stopping?: AbortSignal;
  /** How long to wait before looking again for an exec that was not found for some time, in ms; default a minute. */
  rarelyMs?: number;
}

/** Ends an exec that nobody waits for any more. Resolves after the first try; never rejects. */
export type EndExec = (execId: string, containerId: string) => Promise<void>;

/** Where execs whose end is ours to see to are noted, so that the next process can. */
export interface ExecNotes {
  oweExec(execId: string, containerId: string): void;
  execDone(execId: string): void;
}

/** Milliseconds between two looks, and how often. */
const pace: readonly (readonly [pauseMs: number, times: number])[] = [
  [50, 20],
  [500, 120],
  [5_000, 110],
];
/** What could not be ended in these ten minutes is looked for so often, a few at a time, and never forgotten. */
const rarelyMs = 60_000;
const mostAtOnce = 20;
/** An exec that an answering engine has not started for this many looks never reached it. */
const unstartedLooks = 80;

/**
 * Docker never ends an exec by itself when its client goes (moby runs it to its own end), may not have started it yet, and
 * may not answer just now: the process is looked for until it was killed or is known to have ended.
 */
export function execEnder(deps: EndExecDeps): EndExec {
  /** Undefined: it could not be tried (no descriptor is free), or broke off half-way. */
  const kill = async (pid: number, containerId: string): Promise<number | undefined> => {
    try {
      return await deps.killExecTree(pid, containerId);
    } catch {
      return undefined;
    }
  };
  const pidOf = (execId: string, containerId: string): number | "none" | "unknown" => {
    try {
      return deps.pidOf?.(execId, containerId) ?? "none";
    } catch {
      // No descriptor is free.
      return "unknown";
    }
  };
  const look = async (
    execId: string,
    containerId: string,
  ): Promise<"ended" | "not started" | "later"> => {
    try {
      const { Running, ExitCode, Pid } = await deps.engine.inspectExec(execId);
      if (!Running && ExitCode !== null) return "ended";
      if (Pid > 0) return ((await kill(Pid, containerId)) ?? 0) > 0 ? "ended" : "later";
      return Running ? "later" : "not started";
    } catch (error) {
      // A dockerd that was restarted knows of no exec from before, and one that hangs tells of none:
      // containerd's shim still does.
      const pid = pidOf(execId, containerId);
      if (pid === "unknown") return "later";
      const killed = pid === "none" ? 0 : await kill(pid, containerId);
      if (killed === undefined) return "later";
      return killed > 0 || isStatus(error, 404) ? "ended" : "later";
    }
  };
  const rarely = rareLooks(deps, look);
  const endLater = async (execId: string, containerId: string): Promise<void> => {
    let unstarted = 0;
    for (const [pauseMs, times] of pace) {
      for (let at = 0; at < times; at += 1) {
        await deps.clock.sleep(pauseMs, deps.stopping);
        const found = await look(execId, containerId);
        unstarted = found === "not started" ? unstarted + 1 : 0;
        if (found !== "ended" && unstarted < unstartedLooks) continue;
        deps.ended?.(execId);
        return;
      }
    }
    rarely(execId, containerId);
  };
  return async (execId, containerId) => {
    if ((await look(execId, containerId)) === "ended") {
      deps.ended?.(execId);
      return;
    }
    // Only the end of this process breaks it off.
    void outsideCall(() => endLater(execId, containerId)).catch(() => undefined);
  };
}

type Look = (execId: string, containerId: string) => Promise<"ended" | "not started" | "later">;

/** One timer for all of them, which keeps no process alive. */
function rareLooks(
  deps: Pick<EndExecDeps, "ended" | "stopping" | "rarelyMs">,
  look: Look,
): (execId: string, containerId: string) => void {
  const left = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  const lookAtSome = async (): Promise<void> => {
    for (const [execId, containerId] of [...left].slice(0, mostAtOnce)) {
      if (deps.stopping?.aborted === true) return;
      // To the end of the line: each has its turn.
      left.delete(execId);
      if ((await look(execId, containerId)) === "ended") deps.ended?.(execId);
      else left.set(execId, containerId);
    }
  };
  const next = (): void => {
    timer = setTimeout(() => {
      void lookAtSome().finally(() => {
        timer = undefined;
        if (left.size > 0 && deps.stopping?.aborted !== true) next();
      });
    }, deps.rarelyMs ?? rarelyMs).unref();
  };
  return (execId, containerId) => {
    left.set(execId, containerId);
    if (timer === undefined) next();
  };
}
