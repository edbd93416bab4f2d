import type { Engine } from "../engine/engine.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { CommandChannels } from "./channels.ts";
import { copyInput, copyOutput, followResize, untilAborted, unusedDetachKeys } from "./output.ts";
import { failureStatus, successStatus } from "./status.ts";
import type { StreamStatus } from "./status.ts";

export interface AttachGrant {
  containerId: string;
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface AttachDeps {
  engine: Pick<Engine, "attachContainer" | "inspectContainer" | "resizeContainer">;
  log: Logger;
}

/** Connects the client with the container's own process until one of them ends. Never rejects. */
export async function runAttach(
  deps: AttachDeps,
  grant: AttachGrant,
  channels: CommandChannels,
): Promise<void> {
  let status: StreamStatus;
  try {
    await attach(deps, grant, channels);
    status = successStatus;
  } catch (error) {
    deps.log.info({ err: error, containerId: grant.containerId }, "attach failed");
    status = failureStatus(`error attaching to container: ${errorText(error)}`);
  }
  await channels.finish(status);
}

async function attach(
  deps: AttachDeps,
  grant: AttachGrant,
  channels: CommandChannels,
): Promise<void> {
  const { engine } = deps;
  const { containerId } = grant;
  const found = await engine.inspectContainer(containerId);
  if (!found.State.Running) {
    throw new CriError("FailedPrecondition", `container ${containerId} is not running`);
  }
  // Whether the output is framed follows from how the container was made, not from the request.
  const tty = found.Config.Tty;
  const stdin = grant.stdin && found.Config.OpenStdin;
  const stream = await engine.attachContainer(containerId, {
    stdin,
    stdout: grant.stdout || !grant.stderr,
    stderr: grant.stderr,
    detachKeys: unusedDetachKeys,
  });
  const stopResize = followResize(
    tty ? channels.resize : undefined,
    (width, height) => engine.resizeContainer(containerId, width, height),
    deps.log,
  );
  if (!tty) channels.resize?.resume();
  const gone = untilAborted(channels.gone);
  try {
    const { stdout, stderr } = channels;
    const output = copyOutput(stream, tty, { stdout, stderr });
    output.catch(() => undefined);
    if (stdin) copyInput(channels.stdin, stream, found.Config.StdinOnce && !tty);
    else channels.stdin?.resume();
    await Promise.race([output, gone.promise]);
  } finally {
    gone.release();
    stopResize();
    channels.stdin?.unpipe(stream);
    // Detaches; the container does not notice, unless its stdin was meant for one client only.
    stream.destroy();
  }
}
