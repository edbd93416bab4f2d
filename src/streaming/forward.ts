import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { finished } from "./channels.ts";
import type { Dialler } from "./dialler.ts";
import { ResetAtOnce } from "./local-dial.ts";
import { pipeCorked } from "./output.ts";

/**
 * How long a client may be silent after the pod has ended its side. It may go on sending, but one that
 * says nothing and does not end its own side either, or cannot, is not waited for.
 */
const lastWordsMs = 1_000;
/**
 * How long a client may be silent after the pod has ended its side before it gets that end: clients up to 1.31
 * then drop what they have not sent yet.
 */
const uploadPauseMs = 300;

/** A connection into the pod that is being made, or waits for its client. */
export interface PodDial {
  readonly port: number;
  /**
   * The connection, or why there is none. Neither when it was abandoned or the pod has reset it: Go's
   * client takes any text for a reason to close the whole session, and the reset of the data stream
   * says it already. Never rejects.
   */
  readonly outcome: Promise<Socket | string | undefined>;
  /** Nobody waits for it any more: it is stopped, or closed if it is there. */
  readonly abandon: () => void;
}

export function beginDial(dialler: Dialler, port: number): PodDial {
  const gone = new AbortController();
  const outcome = dialler.dial(port, gone.signal).catch((error: unknown) => {
    if (error instanceof ResetAtOnce || gone.signal.aborted) return undefined;
    return `failed to connect to localhost:${port} in the pod's network namespace: ${errorText(error)}`;
  });
  const closeIt = (dialled: Socket | string | undefined): void => {
    if (dialled instanceof Socket) dialled.destroy();
  };
  return {
    port,
    outcome,
    abandon: () => {
      gone.abort();
      void outcome.then(closeIt);
    },
  };
}

/** Connects one pair of streams with a port of the pod until both directions are over. Never rejects. */
export async function forward(
  dial: PodDial,
  podSandboxId: string,
  { data, error, log }: { data: Duplex; error: Duplex; log: Logger },
): Promise<void> {
  const { port } = dial;
  data.once("close", dial.abandon);
  if (data.destroyed) dial.abandon();
  const dialled = await dial.outcome;
  data.off("close", dial.abandon);
  if (dialled instanceof Socket) {
    await join(data, dialled, () => error.end());
  } else if (dialled !== undefined) {
    log.debug({ podId: podSandboxId, port, reason: dialled }, "port-forward connection failed");
    error.write(`error forwarding port ${port} to pod ${podSandboxId}: ${dialled}`);
  }
  error.end();
  await finished(error);
  // A reset, where the client has not seen the end of both directions: it must not take what it has
  // for the whole.
  data.destroy();
  error.destroy();
}

/** Copies both ways with half-close until both directions are over, or one side has gone. */
function join(data: Duplex, socket: Socket, podHasEnded: () => void): Promise<void> {
  return new Promise((resolve) => {
    let silence: NodeJS.Timeout | undefined;
    let pause: NodeJS.Timeout | undefined;
    const check = (): void => {
      const complete = data.writableFinished && socket.writableFinished;
      // A socket that closes in order may leave bytes behind that the client has yet to take.
      const cut = socket.destroyed && !(socket.readableEnded && socket.writableFinished);
      if (!complete && !cut && !data.destroyed) return;
      clearTimeout(silence);
      clearTimeout(pause);
      data.off("close", check);
      data.off("finish", onFinish);
      socket.off("finish", check);
      socket.off("close", check);
      socket.destroy();
      resolve();
    };
    /** The client may be waiting for the pod to take what it has sent. */
    const isUnderWay = (): boolean => data.readableLength + socket.writableLength > 0;
    const onSilence = (): void => {
      if (isUnderWay()) silence?.refresh();
      else data.destroy();
    };
    const onPause = (): void => {
      if (isUnderWay()) pause?.refresh();
      else podHasEnded();
    };
    const onFinish = (): void => {
      silence = setTimeout(onSilence, lastWordsMs);
      // Clients up to 1.31 wait for this end before they let their own side go.
      pause = setTimeout(onPause, uploadPauseMs);
      data.on("data", () => {
        silence?.refresh();
        pause?.refresh();
      });
      if (data.readableEnded) podHasEnded();
      else data.once("end", podHasEnded);
      check();
    };
    data.on("close", check);
    data.on("finish", onFinish);
    socket.on("finish", check);
    socket.on("close", check);
    socket.pipe(data);
    pipeCorked(data, socket, true);
    check();
  });
}
