import type { Duplex } from "node:stream";
import type { EndExec, ExecNotes } from "../engine/end-exec.ts";
import type { Engine } from "../engine/engine.ts";
import { EngineError } from "../engine/errors.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { CommandChannels } from "./channels.ts";
import { OnlyLine, refusalOf, refusedStart } from "./exec-start.ts";
import type { ExecRefusal } from "./exec-start.ts";
import { copyKeys, typePastDocker } from "./exec-terminal.ts";
import { waitExitCode, waitOutputLeftOpen } from "./exec-exit.ts";
import { execDetachKeys } from "./detach-keys.ts";
import { copyInput, copyOutput, followResize, untilAborted } from "./output.ts";
import { exitStatus, failureStatus } from "./status.ts";
import type { StreamStatus } from "./status.ts";

export interface ExecGrant {
  containerId: string;
  cmd: string[];
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface ExecDeps {
  engine: Pick<Engine, "createExec" | "startExec" | "inspectExec" | "resizeExec">;
  endExec: EndExec;
  execNotes: ExecNotes;
  clock: Pick<Clock, "sleep" | "monotonicMs">;
  log: Logger;
  /** Aborted when the server gives up waiting for its sessions. */
  stopping: AbortSignal;
}

/** Runs the command and tells the client how it ended. Never rejects. */
export async function runExec(
  deps: ExecDeps,
  grant: ExecGrant,
  channels: CommandChannels,
): Promise<void> {
  let status: StreamStatus;
  try {
    status = await execute(deps, grant, channels);
  } catch (error) {
    deps.log.info({ err: error, containerId: grant.containerId }, "exec failed");
    status = failureStatus(`error executing command in container: ${errorText(error)}`);
  }
  await channels.finish(status);
}

async function execute(
  deps: ExecDeps,
  grant: ExecGrant,
  channels: CommandChannels,
): Promise<StreamStatus> {
  const { engine } = deps;
  const { containerId, cmd, tty, stdin } = grant;
  const execId = await engine.createExec(containerId, {
    Cmd: cmd,
    Tty: tty,
    AttachStdin: stdin,
    // With stdin alone nothing would tell us that the process has ended.
    AttachStdout: grant.stdout || !grant.stderr,
    AttachStderr: grant.stderr,
    DetachKeys: execDetachKeys,
  });
  // Not started, so there is nothing to end.
  if (channels.gone.aborted) return failureStatus("the client has gone");
  const session: Session = { execId, is: "maybe running" };
  if (endsWithClient(grant)) deps.execNotes.oweExec(execId, containerId);
  try {
    return await runStarted(deps, grant, channels, session);
  } finally {
    if (session.is === "over") deps.execNotes.execDone(execId);
    // Nobody hears of it any more. One that only writes goes on with what it was sent for.
    else if (session.is === "maybe running" || endsWithClient(grant)) {
      if (session.is !== "being ended") void deps.endExec(execId, containerId);
    }
  }
}

interface Session {
  readonly execId: string;
  /** "maybe running" until the start is acknowledged; "over": ended, never started, or to go on without its client. */
  is: "maybe running" | "running" | "being ended" | "over";
}

/** A process that someone sits at; one that only writes lives on without its client. */
const endsWithClient = ({ tty, stdin }: ExecGrant): boolean => tty || stdin;

async function runStarted(
  deps: ExecDeps,
  grant: ExecGrant,
  channels: CommandChannels,
  session: Session,
): Promise<StreamStatus> {
  const { engine } = deps;
  const { execId } = session;
  const { tty } = grant;
  let stream: Duplex;
  try {
    stream = await engine.startExec(execId, tty);
  } catch (error) {
    const refusal = refusalOf(errorText(error));
    // An error of the engine's own (5xx) may come when containerd has the start already.
    const refused = error instanceof EngineError && error.failure === "status";
    if (refusal.fault !== undefined || (refused && error.status < 500)) session.is = "over";
    if (refusal.fault === undefined) throw error;
    return tellRefusal(refusal, grant, channels);
  }
  session.is = "running";
  const stopResize = followResize(
    tty ? channels.resize : undefined,
    (width, height) => engine.resizeExec(execId, width, height),
    deps.log,
  );
  if (!tty) channels.resize?.resume();
  try {
    return await converse(deps, grant, channels, session, stream);
  } finally {
    stopResize();
    channels.stdin?.unpipe(stream);
    stream.destroy();
  }
}

async function converse(
  deps: ExecDeps,
  grant: ExecGrant,
  channels: CommandChannels,
  session: Session,
  stream: Duplex,
): Promise<StreamStatus> {
  const { stdout, stderr } = channels;
  const { execId } = session;
  const isRefused = (): Promise<boolean> => neverStarted(deps, execId);
  const said = new OnlyLine(grant.cmd[0] ?? "", grant.tty);
  const output = refusedStart(stream, grant.tty, isRefused).then(async (refusal) => {
    if (refusal !== undefined) return refusal;
    const note = said.note.bind(said);
    await copyOutput(stream, grant.tty, { stdout, stderr }, { note });
    return "ended" as const;
  });
  // It is awaited below, but maybe not before it has failed.
  output.catch(() => undefined);
  if (!grant.tty) copyInput(channels.stdin, stream, true);
  else if (channels.stdin !== undefined) {
    void copyKeys(channels.stdin, stream, async (keys) => {
      const { Pid } = await deps.engine.inspectExec(execId).catch(() => ({ Pid: 0 }));
      return Pid > 0 && (await typePastDocker(execId, Pid, keys));
    });
  }

  const gone = untilAborted(channels.gone);
  const left = gone.promise.then(() => "gone" as const);
  const watch = new AbortController();
  const keepsUp = (): boolean =>
    stdout?.writableNeedDrain !== true && stderr?.writableNeedDrain !== true;
  const leftOpen = waitOutputLeftOpen(deps, execId, stream, keepsUp, watch.signal);
  try {
    let first: ExecRefusal | "ended" | "gone" | number | undefined = await Promise.race([
      output,
      left,
      leftOpen.then(() => "ended" as const),
    ]);
    if (first === "ended") {
      const exit = waitExitCode(deps, execId, watch.signal);
      exit.catch(() => undefined);
      first = await Promise.race([exit, left]);
    }
    if (first === "gone") {
      session.is = endsWithClient(grant) ? "being ended" : "over";
      await onClientGone(deps, grant, execId, stream, output);
      return failureStatus("the client has gone");
    }
    if (first !== undefined) session.is = "over";
    if (typeof first === "object") return tellRefusal(first, grant, channels);
    if (first === undefined) return failureStatus("docker does not know the exit code");
    return exitStatus(said.exitCode(first));
  } finally {
    gone.release();
    watch.abort();
  }
}

/** Docker notes the end of an exec that it cannot start before it says why. */
async function neverStarted(deps: ExecDeps, execId: string): Promise<boolean> {
  try {
    const { Running, Pid } = await deps.engine.inspectExec(execId);
    return !Running && Pid === 0;
  } catch (err) {
    deps.log.debug({ err, execId }, "docker does not tell whether an exec was started");
    return false;
  }
}

/**
 * A command that cannot be run ends as in a shell: the reason on stderr or the terminal, and 126 or
 * 127. Where there is nowhere to put the reason, or the fault is not the command's, the session fails.
 */
function tellRefusal(
  { fault, text }: ExecRefusal,
  grant: ExecGrant,
  { stdout, stderr }: CommandChannels,
): StreamStatus {
  const sink = grant.tty ? stdout : stderr;
  if (fault === undefined || sink === undefined) throw new Error(text);
  sink.write(grant.tty ? fault.reason.replace(/\r?\n/g, "\r\n") : fault.reason);
  return exitStatus(fault.exitCode);
}

/**
 * A process that someone sat at ends with its client: Docker would leave it running forever. One
 * that only writes lives on, and its output is drained so that it does not block.
 */
async function onClientGone(
  deps: ExecDeps,
  grant: ExecGrant,
  execId: string,
  stream: Duplex,
  output: Promise<unknown>,
): Promise<void> {
  if (endsWithClient(grant)) {
    await deps.endExec(execId, grant.containerId);
    return;
  }
  const stopping = untilAborted(deps.stopping);
  await Promise.race([output.catch(() => undefined), stopping.promise]);
  stopping.release();
  stream.destroy();
}
