import type { CallContext, Handlers } from "../cri/bind.ts";
import { CriError, errorText, invalidArgument, notFound } from "../errors.ts";
import { commandFault, interpreterFault } from "../engine/command-fault.ts";
import type { EndExec, ExecNotes } from "../engine/end-exec.ts";
import type { Engine, HijackedStream } from "../engine/engine.ts";
import { EngineError, isStatus } from "../engine/errors.ts";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import { settleWithin } from "../sys/abort.ts";
import { FrameDecoder } from "../engine/demux.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { ExecWatch } from "../containers/exec-exit.ts";
import type { ExecExitDeps } from "../containers/exec-exit.ts";
import { CappedOutput } from "../containers/exec-output.ts";
import { ExecPatience } from "../containers/exec-patience.ts";

/** Both streams together stay below the kubelet's 16 MiB message limit. */
const outputLimitBytes = 16 * 1024 * 1024 - 64 * 1024;
/** How long output may still come after the process has ended: a background child keeps it open. */
const drainMs = 2000;
/** ctrl-@ eleven times: nobody types it, and without a tty it means nothing. */
const neutralDetachKeys = Array.from({ length: 11 }, () => "ctrl-@").join(",");

/** How long the processes of a late command may take to be gone before its caller hears of it. */
const endMs = 2000;

export interface ExecSyncDeps extends ExecExitDeps {
  engine: Pick<Engine, "createExec" | "startExec" | "inspectExec">;
  index: Pick<ContainerIndex, "find" | "onEvent">;
  endExec: EndExec;
  execNotes: ExecNotes;
}

interface ExecAnswer {
  stdout: Uint8Array;
  stderr: Uint8Array;
  exitCode: number;
}

/**
 * ExecSync: exec probes and lifecycle hooks. The kubelet counts DEADLINE_EXCEEDED and every exit code
 * but 0 as a failed probe, and throws any other error away: only what the command itself did may be
 * answered in one of the first two ways.
 */
export function execSync(deps: ExecSyncDeps): Pick<Handlers<typeof RuntimeService>, "execSync"> {
  return {
    execSync: async (request, context) => {
      if (request.cmd.length === 0) throw invalidArgument("exec: no command given");
      if (request.timeout < 0n) throw invalidArgument("exec: timeout is negative");
      const container = await runningContainer(deps.index, request.containerId, "exec");
      return await execute(deps, container.id, request.cmd, Number(request.timeout), context);
    },
  };
}

/** The container that an exec, attach or similar is about; NOT_FOUND or FAILED_PRECONDITION if not. */
export async function runningContainer(
  index: Pick<ContainerIndex, "find">,
  containerId: string,
  what: string,
): Promise<ContainerEntry> {
  if (containerId === "") throw invalidArgument(`${what}: container id is empty`);
  const container = await index.find("container", containerId);
  if (container === undefined) throw notFound(`${what}: no container ${containerId}`);
  // What is not known for certain is Docker's to say.
  if (!container.state.Running && !container.dirty) {
    throw new CriError("FailedPrecondition", `${what}: container ${container.id} is not running`);
  }
  return container;
}

async function execute(
  deps: ExecSyncDeps,
  containerId: string,
  cmd: string[],
  timeoutSeconds: number,
  context: CallContext,
): Promise<ExecAnswer> {
  const timeoutMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 : Infinity;
  const patience = new ExecPatience(deps.clock, context.remainingMs(), timeoutMs);
  const body = {
    Cmd: cmd,
    Tty: false,
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    DetachKeys: neutralDetachKeys,
  };
  const execId = await patience
    .untilStarted(`exec in ${containerId}`, (signal) =>
      deps.engine.createExec(containerId, body, { signal }),
    )
    .catch((error: unknown) => Promise.reject(refusal(containerId, error)));
  // Not started, so there is nothing to end.
  context.signal.throwIfAborted();
  const watch = new ExecWatch(deps, execId, containerId);
  let stream: HijackedStream | undefined;
  // Whatever is not known to have ended, or never to have begun, is ended: it would run forever.
  let over = false;
  let ending = false;
  // Should Dockline be killed meanwhile, its next start sees to the end.
  deps.execNotes.oweExec(execId, containerId);
  try {
    try {
      stream = await patience.untilStarted(`exec in ${containerId}`, (signal) =>
        deps.engine.startExec(execId, false, { signal }),
      );
    } catch (error) {
      const refused = error instanceof EngineError && error.failure === "status";
      const fault = refused ? commandFault(errorText(error)) : undefined;
      // An error of the engine's own (5xx) may come when containerd has the start already.
      over = fault !== undefined || (refused && error.status < 500);
      if (fault !== undefined) return answerOf(fault);
      throw refusal(containerId, error);
    }
    const output = new CappedOutput(outputLimitBytes);
    const closed = collect(stream, output);
    // It may fail when nobody waits for it any more.
    closed.catch(() => undefined);
    const end = await watch.end(closed, timeoutMs, context.signal, patience.answerByMs);
    if (end === "timeout" || end === "cancelled") {
      ending = true;
      await settleWithin(deps.endExec(execId, containerId), endMs, deps.clock);
      if (end === "cancelled") throw context.signal.reason as Error;
      throw new CriError(
        "DeadlineExceeded",
        `exec in ${containerId}: command ${JSON.stringify(cmd[0])} timed out after ${timeoutSeconds} s`,
      );
    }
    over = true;
    await settleWithin(closed, drainMs, deps.clock);
    const answer = { ...output.all(), exitCode: end.exitCode };
    if (end.started) return withFault(answer, interpreterFault(cmd[0] ?? "", answer));
    // In place of output there is Docker's reason, on stdout.
    const reason = Buffer.from(answer.stdout).toString("utf8");
    const fault = commandFault(reason);
    if (fault !== undefined) return answerOf(fault);
    throw new CriError("Unavailable", `exec in ${containerId}: docker did not start it: ${reason}`);
  } finally {
    watch.release();
    stream?.destroy();
    if (over) deps.execNotes.execDone(execId);
    else if (!ending) void deps.endExec(execId, containerId);
  }
}

/** A failed request about the exec as the failure of the call. */
function refusal(containerId: string, error: unknown): Error {
  // It stopped, was paused or was removed between our look and the request.
  if (isStatus(error, 409)) return new CriError("FailedPrecondition", error.message);
  if (isStatus(error, 404)) return notFound(`exec: no container ${containerId}: ${error.message}`);
  return error as Error;
}

const answerOf = (fault: { exitCode: number; reason: string }): ExecAnswer => ({
  stdout: Buffer.alloc(0),
  stderr: Buffer.from(fault.reason),
  exitCode: fault.exitCode,
});

function withFault(answer: ExecAnswer, fault: { exitCode: number } | undefined): ExecAnswer {
  return fault === undefined ? answer : { ...answer, exitCode: fault.exitCode };
}

function collect(stream: HijackedStream, output: CappedOutput): Promise<void> {
  return new Promise((resolve, reject) => {
    const demuxer = new FrameDecoder((name, bytes) => output.push(name, bytes));
    stream.on("data", (chunk: Buffer) => {
      try {
        demuxer.push(chunk);
      } catch (error) {
        reject(unreadable(error));
      }
    });
    stream.on("end", resolve);
    stream.on("close", resolve);
    stream.on("error", (error) => reject(unreadable(error)));
  });
}

/** The output is lost, and with it what the command was run for. */
function unreadable(cause: unknown): CriError {
  const message = `exec: the connection with the command's output broke: ${errorText(cause)}`;
  return new CriError("Unavailable", message, { cause });
}
