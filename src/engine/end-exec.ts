import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { Engine } from "./engine.ts";
import { isStatus } from "./errors.ts";

export interface EndExecDeps {
  engine: Pick<Engine, "inspectExec">;
  clock: Pick<Clock, "sleep">;
  /** SIGKILL to an exec's whole process tree, by host pid; returns how many got it. */
  killExecTree(pid: number, containerId: string): number;
}

/** Ends an exec that nobody waits for any more. Resolves after the first try; never rejects. */
export type EndExec = (execId: string, containerId: string) => Promise<void>;

/** Milliseconds between two looks, and how often; some ten minutes in all. */
const pace: readonly (readonly [pauseMs: number, times: number])[] = [
  [50, 20],
  [500, 120],
  [5_000, 110],
];

/**
 * Docker never ends an exec by itself when its client goes (moby runs it to its own end), may not have started it yet, and
 * may not answer just now: the process is looked for until it was killed or is known to have ended.
 */
export function execEnder(deps: EndExecDeps): EndExec {
  const endedNow = async (execId: string, containerId: string): Promise<boolean> => {
    try {
      const { Running, ExitCode, Pid } = await deps.engine.inspectExec(execId);
      if (!Running && ExitCode !== null) return true;
      return Pid > 0 && deps.killExecTree(Pid, containerId) > 0;
    } catch (error) {
      // Its container is gone, and its processes with it.
      return isStatus(error, 404);
    }
  };
  const endLater = async (execId: string, containerId: string): Promise<void> => {
    for (const [pauseMs, times] of pace) {
      for (let look = 0; look < times; look += 1) {
        await deps.clock.sleep(pauseMs);
        if (await endedNow(execId, containerId)) return;
      }
    }
  };
  return async (execId, containerId) => {
    if (await endedNow(execId, containerId)) return;
    void outsideCall(() => endLater(execId, containerId));
  };
}
