import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { finished } from "./channels.ts";
import { ResetAtOnce } from "./dialler-child.ts";
import type { Dialler } from "./dialler.ts";
import { pipeCorked } from "./output.ts";
import { SpdyConnection } from "./spdy/connection.ts";
import type { SpdyStream } from "./spdy/stream.ts";
import { streamCreationTimeoutMs } from "./spdy-channels.ts";
import { WebSocketMux } from "./websocket.ts";

export interface PortForwardGrant {
  podSandboxId: string;
  ports: number[];
}

export interface PortForwardDeps {
  dialler: Dialler;
  log: Logger;
  pairTimeoutMs?: number;
}

/** What a client that cannot end its side may still send after the pod has ended its own. */
const lastWordsMs = 1_000;

/** The two streams of one forwarded connection, which the client opens one after the other. */
interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  timer: NodeJS.Timeout;
}

/** Serves one SPDY connection until it closes. Never rejects. */
export async function runSpdyPortForward(
  deps: PortForwardDeps,
  grant: PortForwardGrant,
  transport: Duplex,
): Promise<void> {
  const pairs = new Map<string, Pair>();
  const drop = (id: string, pair: Pair): void => {
    clearTimeout(pair.timer);
    if (pairs.get(id) === pair) pairs.delete(id);
  };
  const late = (id: string, pair: Pair): void => {
    drop(id, pair);
    pair.error?.end(`error forwarding ports: the streams of request ${id} are not complete`);
    pair.data?.destroy();
  };
  const onStream = (stream: SpdyStream): boolean => {
    const type = stream.headers.get("streamtype");
    const port = parsePort(stream.headers.get("port") ?? "");
    if ((type !== "data" && type !== "error") || port === undefined) return false;
    const id = requestId(stream, type);
    let pair = pairs.get(id);
    if (pair?.[type] !== undefined) return false;
    if (pair === undefined) {
      const created: Pair = { timer: setTimeout(() => late(id, created), waitMs) };
      pairs.set(id, (pair = created));
      // A client that takes its half back does not wait for the timeout either.
      stream.once("close", () => drop(id, created));
    }
    pair[type] = stream;
    const { data, error } = pair;
    if (data === undefined || error === undefined) return true;
    drop(id, pair);
    error.resume();
    void forward(deps, grant, port, data, error);
    return true;
  };
  const waitMs = deps.pairTimeoutMs ?? streamCreationTimeoutMs;
  const connection = new SpdyConnection(transport, { log: deps.log, onStream });
  await connection.closed;
  for (const [id, pair] of [...pairs]) drop(id, pair);
}

/**
 * Clients from before request ids open the error stream, then the data stream, with ids that follow
 * each other; that works as long as they do not open two connections at once.
 */
function requestId(stream: SpdyStream, type: "data" | "error"): string {
  const given = stream.headers.get("requestid");
  if (given !== undefined && given !== "") return given;
  return `stream ${type === "error" ? stream.id : stream.id - 2}`;
}

function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** Serves the old form: one pair of channels for each port of the request, one connection each. */
export async function runWebSocketPortForward(
  deps: PortForwardDeps,
  grant: PortForwardGrant,
  ws: WebSocket,
  form: { base64: boolean },
): Promise<void> {
  const mux = new WebSocketMux(ws, { base64: form.base64, closeSignal: false }, deps.log);
  const work = grant.ports.map((port, index) => {
    const data = mux.open(2 * index);
    const error = mux.open(2 * index + 1);
    error.resume();
    const head = Buffer.alloc(2);
    head.writeUInt16LE(port);
    data.write(head);
    error.write(Buffer.from(head));
    // The client cannot end its side: once the pod has ended its own, it is not waited for.
    data.once("finish", () => {
      const timer = setTimeout(() => data.destroy(), lastWordsMs);
      data.once("close", () => clearTimeout(timer));
    });
    return forward(deps, grant, port, data, error);
  });
  await Promise.all(work);
  await mux.close();
}

/** Connects one pair of streams with a port of the pod until both directions are over. */
async function forward(
  deps: PortForwardDeps,
  grant: PortForwardGrant,
  port: number,
  data: Duplex,
  error: Duplex,
): Promise<void> {
  const failure = await relay(deps.dialler, port, data);
  if (failure !== undefined) {
    const pod = grant.podSandboxId;
    deps.log.debug({ podSandboxId: pod, port, reason: failure }, "port-forward connection failed");
    error.write(`error forwarding port ${port} to pod ${pod}: ${failure}`);
  }
  error.end();
  await finished(error);
  // A reset, where the client has not seen the end of both directions: it must not take what it has
  // for the whole.
  data.destroy();
  error.destroy();
}

/**
 * Resolves with why no connection could be made, or with undefined when there was one. A connection
 * that is reset later is not reported: Go's client takes any text for a reason to close the whole
 * session, and the reset of the data stream says it already.
 */
async function relay(dialler: Dialler, port: number, data: Duplex): Promise<string | undefined> {
  let socket: Socket;
  try {
    socket = await dialler.dial(port);
  } catch (error) {
    if (error instanceof ResetAtOnce) return undefined;
    return `failed to connect to localhost:${port} in the pod's network namespace: ${errorText(error)}`;
  }
  await join(data, socket);
  return undefined;
}

/** Copies both ways with half-close until both directions are over, or one side has gone. */
function join(data: Duplex, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const check = (): void => {
      const complete = data.writableFinished && socket.writableFinished;
      // A socket that closes in order may leave bytes behind that the client has yet to take.
      const cut = socket.destroyed && !(socket.readableEnded && socket.writableFinished);
      if (!complete && !cut && !data.destroyed) return;
      data.off("close", check);
      data.off("finish", check);
      socket.off("finish", check);
      socket.off("close", check);
      socket.destroy();
      resolve();
    };
    data.on("close", check);
    data.on("finish", check);
    socket.on("finish", check);
    socket.on("close", check);
    socket.pipe(data);
    pipeCorked(data, socket, true);
    check();
  });
}
