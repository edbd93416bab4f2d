import type { Duplex } from "node:stream";
import type { EndExec } from "../engine/end-exec.ts";
import type { Engine } from "../engine/engine.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { CommandChannels } from "./channels.ts";
import { waitExitCode, waitOutputLeftOpen } from "./exec-exit.ts";
import { copyInput, copyOutput, followResize, untilAborted, unusedDetachKeys } from "./output.ts";
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
  clock: Pick<Clock, "sleep">;
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
    DetachKeys: unusedDetachKeys,
  });
  // Not started, so there is nothing to end.
  if (channels.gone.aborted) return failureStatus("the client has gone");
  const stream = await engine.startExec(execId, tty);
  const stopResize = followResize(
    tty ? channels.resize : undefined,
    (width, height) => engine.resizeExec(execId, width, height),
    deps.log,
  );
  if (!tty) channels.resize?.resume();
  try {
    return await converse(deps, grant, channels, execId, stream);
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
  execId: string,
  stream: Duplex,
): Promise<StreamStatus> {
  const { stdout, stderr } = channels;
  const output = copyOutput(stream, grant.tty, { stdout, stderr }).then(() => "ended" as const);
  // It is awaited below, but maybe not before it has failed.
  output.catch(() => undefined);
  copyInput(channels.stdin, stream, !grant.tty);

  const gone = untilAborted(channels.gone);
  const left = gone.promise.then(() => "gone" as const);
  const watch = new AbortController();
  const keepsUp = (): boolean =>
    stdout?.writableNeedDrain !== true && stderr?.writableNeedDrain !== true;
  const leftOpen = waitOutputLeftOpen(deps, execId, stream, keepsUp, watch.signal);
  try {
    let first: "ended" | "gone" | number | undefined = await Promise.race([
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
      await onClientGone(deps, grant, execId, stream, output);
      return failureStatus("the client has gone");
    }
    if (first === undefined) return failureStatus("docker does not know the exit code");
    return exitStatus(first);
  } finally {
    gone.release();
    watch.abort();
  }
}

/**
 * A process that someone sat at ends with its client: Docker would leave it running for ever. One
 * that only writes lives on, and its output is drained so that it does not block.
 */
async function onClientGone(
  deps: ExecDeps,
  grant: ExecGrant,
  execId: string,
  stream: Duplex,
  output: Promise<unknown>,
): Promise<void> {
  if (grant.tty || grant.stdin) {
    await deps.endExec(execId, grant.containerId);
    return;
  }
  const stopping = untilAborted(deps.stopping);
  await Promise.race([output.catch(() => undefined), stopping.promise]);
  stopping.release();
  stream.destroy();
}
