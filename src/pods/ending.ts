import { errorText } from "../errors.ts";
import { EngineError, isStatus, isUncertain } from "../engine/errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { waiting } from "../sys/call-trace.ts";
import {
  containerPids,
  isRunning,
  killContainerProcesses,
  readProcess,
} from "../sys/process-tree.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { repeatIfLost } from "./lost-answer.ts";

/** False only if it is known to have ended. What memory says may be older than a start whose answer was lost. */
export function mayRun(entry: ContainerEntry | undefined): boolean {
  return entry !== undefined && (entry.state.Running || entry.state.Paused || entry.dirty);
}

type EndingDeps = Pick<SandboxDeps, "engine" | "index" | "clock" | "log">;

/** How long Docker may take with a kill, and with noticing the end of a process. */
const noticeMs = 5_000;
/** The end of a process that was just killed is noticed sooner. */
const killedNoticeMs = 1_000;
/** Docker is asked for next to nothing: does it answer at all? */
const answerMs = 2_000;

interface Patience {
  /** From now on until Docker itself sends SIGKILL. */
  graceMs: number;
  /** How long the process has to be gone before Docker counts as not noticing it. */
  confirmMs: number;
}

const killed: Patience = { graceMs: 0, confirmMs: killedNoticeMs };

/**
 * Docker's answer to a request that ends the container, or "gone" where its processes have ended and no
 * answer comes: Docker has lost the shim, which alone tells it so. A shim that hangs also kills nothing:
 * then that is done here.
 */
async function answerOrGone<T>(
  deps: EndingDeps,
  id: string,
  patience: Patience,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T | "gone"> {
  const enough = new AbortController();
  const answer = request(enough.signal);
  answer.catch(() => undefined);
  try {
    return await Promise.race([answer, processGone(deps, id, patience, enough.signal)]);
  } finally {
    enough.abort();
  }
}

/**
 * SIGKILL; one that does not run or is gone is as good. Docker answers when it has ended. Where it never
 * does, though the processes are gone, that is as good, too.
 */
export async function killContainer(deps: EndingDeps, id: string): Promise<void> {
  try {
    await answerOrGone(deps, id, killed, (signal) =>
      repeatIfLost(deps.clock, () => deps.engine.killContainer(id, "KILL", { signal })),
    );
  } catch (error) {
    // 409: not running. 404: gone.
    if (isStatus(error, 404)) deps.index.removed(id);
    else if (!isStatus(error, 409)) throw error;
  } finally {
    deps.index.touched(id);
  }
}

/**
 * The stop signal, and SIGKILL after the grace. True when Docker says that it ended by this, false when it
 * had ended before, and "gone" when only its processes tell that.
 */
export async function signalContainer(
  deps: EndingDeps,
  id: string,
  graceSeconds: number,
): Promise<boolean | "gone"> {
  const patience = { graceMs: graceSeconds * 1000, confirmMs: noticeMs };
  return await answerOrGone(deps, id, patience, (signal) =>
    deps.engine.stopContainer(id, graceSeconds, { signal }),
  );
}

/** Resolves when the container's processes are gone and Docker has had time to notice; else never. */
async function processGone(
  deps: EndingDeps,
  id: string,
  { graceMs, confirmMs }: Patience,
  signal: AbortSignal,
): Promise<"gone"> {
  if (pidOf(deps, id) === undefined) return await new Promise<never>(() => undefined);
  let helped = false;
  try {
    for (let gone = false, waitedMs = 0; ;) {
      const pauseMs = gone || helped ? confirmMs : noticeMs;
      await deps.clock.sleep(pauseMs, signal);
      waitedMs += pauseMs;
      const before = gone;
      gone = isUnnoticedEnd(deps, id, "first process");
      if (before && gone && isUnnoticedEnd(deps, id, "whole")) break;
      const lives = !gone || before;
      if (lives && waitedMs >= graceMs + noticeMs) helped = await help(deps, id, helped, signal);
    }
  } catch (error) {
    if (signal.aborted) return await new Promise<never>(() => undefined);
    throw error;
  }
  deps.log.warn(
    { containerId: id },
    "Docker does not notice that a container's process is gone; restart Docker to remove it",
  );
  return "gone";
}

/** Kills what Docker was asked to kill. Only where Docker answers: one that hangs may yet do it. */
async function help(
  deps: EndingDeps,
  id: string,
  again: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const answers = (): Promise<boolean> =>
    deps.engine.version({ timeoutMs: answerMs, signal }).then(
      () => true,
      () => false,
    );
  if (!again && !(await answers())) return false;
  const pid = pidOf(deps, id);
  if (pid === undefined || signal.aborted) return again;
  const processes = killContainerProcesses(pid, id);
  if (processes > 0 && !again) {
    deps.log.warn({ containerId: id, processes }, "killed processes that Docker did not kill");
  }
  return processes > 0;
}

/**
 * Docker says that the container runs, and its first process does not, or no process of the whole. A
 * zombie does not run: a shim that hangs collects none. A reused pid proves nothing.
 */
function isUnnoticedEnd(deps: EndingDeps, id: string, of: "first process" | "whole"): boolean {
  const pid = pidOf(deps, id);
  if (pid === undefined || isAlive(pid)) return false;
  // In a pid namespace that is not the container's own, others may outlive the first one.
  return of === "first process" || !containerPids(pid, id).some(isAlive);
}

/** Of a container that runs, as Docker says. */
function pidOf({ index }: EndingDeps, id: string): number | undefined {
  const { Running: running = false, Pid: pid = 0 } = index.peek(id)?.state ?? {};
  return running && pid > 0 ? pid : undefined;
}

function isAlive(pid: number): boolean {
  const found = readProcess(pid);
  return found !== undefined && isRunning(found);
}

/**
 * Removes with force and anonymous volumes; waits while Docker says that a removal is under way.
 *
 * @throws EngineError, without waiting for its time to be over where Docker does not notice the end of the
 * process
 */
export async function removeContainer(deps: EndingDeps, id: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await answerOrGone(deps, id, killed, (signal) =>
        repeatIfLost(deps.clock, () => deps.engine.removeContainer(id, { signal })),
      );
      if (answer === "gone") throw notNoticed();
      break;
    } catch (error) {
      if (isStatus(error, 404)) break;
      // 409 "removal already in progress": somebody else is at it; an error only if it stays.
      if (!isStatus(error, 409) || attempt >= 20) throw error;
      await waiting("removal under way", () => deps.clock.sleep(250));
    }
  }
  deps.index.removed(id);
}

function notNoticed(): EngineError {
  const operation = "remove container";
  const message = `${operation}: its process is gone and docker does not notice; restart docker`;
  return new EngineError({ failure: "timeout", operation, message });
}

/**
 * Removes what is in the way. What the engine cannot remove now (a file or a mount of it is held)
 * stays, dead: whoever needs its name takes another, and the kubelet's collection removes it later.
 *
 * @returns false when it stays
 * @throws EngineError when there is no engine to say so
 */
export async function removeOrLeave(deps: EndingDeps, id: string): Promise<boolean> {
  try {
    await removeContainer(deps, id);
    return true;
  } catch (error) {
    if (!(error instanceof EngineError) || isUncertain(error)) throw error;
    deps.index.touched(id);
    deps.log.warn(
      { containerId: id, error: errorText(error) },
      "a dead container cannot be removed now",
    );
    return false;
  }
}
