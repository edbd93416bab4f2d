import type { Duplex, Readable } from "node:stream";
import type { Engine } from "../engine/engine.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { CommandChannels } from "./channels.ts";
import { neverTyped } from "./detach-keys.ts";
import { copyInput, copyOutput, followResize, untilAborted } from "./output.ts";
import { destroyOnceIdle, takenBytes, untilStalled } from "./stalled.ts";
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
  clock: Pick<Clock, "sleep">;
  log: Logger;
  /** Aborted when the server gives up waiting for its sessions. */
  stopping: AbortSignal;
}

/** After the end of stdin the client gets what the container still says: until it is silent so long. */
const silenceMs = 250;
/** A client has its prompt back within a second, however much the container says. */
const maxSilences = 3;
/**
 * A client that takes not one byte for so long is let go: Docker would hold up the container's output
 * to all others, its log among them, and in the end the container. One that is only slow slows the
 * container down, as with every other runtime.
 */
const stalledMs = 5_000;

/**
 * Connects the client with the container's own process until one of them ends. `connection` carries
 * the channels. Never rejects.
 */
export async function runAttach(
  deps: AttachDeps,
  grant: AttachGrant,
  channels: CommandChannels,
  connection: Duplex,
): Promise<void> {
  let status: StreamStatus;
  let stopCutting = (): void => undefined;
  const failed = (error: unknown): StreamStatus => {
    deps.log.info({ err: error, containerId: grant.containerId }, "attach failed");
    return failureStatus(`error attaching to container: ${errorText(error)}`);
  };
  try {
    const end = await attach(deps, grant, channels, connection);
    status = successStatus;
    if (end === "stalled") {
      const seconds = stalledMs / 1000;
      status = failed(new Error(`the client has taken no output for ${seconds} seconds`));
      // One that goes on to take nothing would keep its session for hours.
      stopCutting = destroyOnceIdle(connection, stalledMs, () => connection.destroy());
    }
  } catch (error) {
    status = failed(error);
  }
  await channels.finish(status);
  stopCutting();
}

async function attach(
  deps: AttachDeps,
  grant: AttachGrant,
  channels: CommandChannels,
  connection: Duplex,
): Promise<"over" | "stalled"> {
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
    detachKeys: neverTyped,
  });
  const stopResize = followResize(
    tty ? channels.resize : undefined,
    (width, height) => engine.resizeContainer(containerId, width, height),
    deps.log,
  );
  if (!tty) channels.resize?.resume();
  const { stdout, stderr } = channels;
  const left = new AbortController();
  const output = copyOutput(stream, tty, { stdout, stderr }, { dropped: left.signal });
  output.catch(() => undefined);
  // With the first client's end the container's stdin ends too, but a terminal stays open.
  const once = found.Config.StdinOnce && !tty;
  if (stdin) copyInput(channels.stdin, stream, once);
  else channels.stdin?.resume();
  const detached = stdin && !once ? untilSilent(deps.clock, channels, stream) : undefined;
  const gone = untilAborted(channels.gone);
  const stalled = untilStalled([stdout, stderr], () => takenBytes(connection), stalledMs);
  try {
    const first = await Promise.race([
      output,
      gone.promise,
      stalled.promise.then(() => "stalled" as const),
      ...(detached === undefined ? [] : [detached]),
    ]);
    // Docker's stream is read on whether the client takes what was said before it left or not.
    left.abort();
    if (first !== "stalled" && stdin) {
      passOnRest(channels.stdin, stream);
      leave(deps, stream, output);
    } else stream.destroy();
    return first === "stalled" ? "stalled" : "over";
  } finally {
    gone.release();
    stalled.release();
    stopResize();
    channels.stdin?.unpipe(stream);
  }
}

/** Resolves when the client's stdin has ended and the container has answered what came before. */
function untilSilent(
  clock: Pick<Clock, "sleep">,
  { stdin, gone }: CommandChannels,
  stream: Duplex,
): Promise<void> {
  const ended = new Promise<void>((resolve) => stdin?.once("end", resolve));
  return ended.then(async () => {
    let read = bytesRead(stream);
    for (let round = 0; round < maxSilences && !gone.aborted; round += 1) {
      await clock.sleep(silenceMs);
      if (read === bytesRead(stream)) return;
      read = bytesRead(stream);
    }
  });
}

function bytesRead(stream: Duplex): number | undefined {
  return (stream as { bytesRead?: number }).bytesRead;
}

/**
 * What was typed and waits for Docker to take it: all that a client sent that has left already may be
 * there, since it waits for no answer. It is held in memory either way.
 */
function passOnRest(stdin: Readable | undefined, stream: Duplex): void {
  stdin?.unpipe(stream);
  while (stream.writable) {
    const rest = stdin?.read() as Buffer | null | undefined;
    if (rest === null || rest === undefined) return;
    stream.write(rest);
  }
}

/**
 * Detaches when Docker has passed on all that was typed, which may take until the container reads it.
 * Without stdin Docker would not see the end. The container does not notice, unless its stdin was
 * meant for one client only.
 */
function leave(deps: AttachDeps, stream: Duplex, output: Promise<unknown>): void {
  const stopping = untilAborted(deps.stopping);
  // Without the input's end Docker would keep the connection; what it still sends is dropped.
  stream.end();
  void Promise.race([output.catch(() => undefined), stopping.promise]).then(() => {
    stopping.release();
    stream.destroy();
  });
}
