import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Logger } from "../log.ts";
import { finished } from "./channels.ts";
import type { Dialler } from "./dialler.ts";
import { beginDial, forward } from "./forward.ts";
import type { PodDial } from "./forward.ts";
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

/** Two for each connection. They are cheap, and a client with more gets single refusals. */
const maxStreams = 4096;
/** Waiting halves for which the pod is dialled: a client that completes none must not flood it. */
const maxDialsAhead = 64;

/**
 * The two streams of one forwarded connection, which the client opens one after the other. The pod is
 * dialled with the first, so that the client's second round trip costs no time.
 */
interface Pair {
  dial: PodDial | undefined;
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
  const giveUp = (id: string, pair: Pair): void => {
    drop(id, pair);
    pair.dial?.abandon();
  };
  const late = (id: string, pair: Pair): void => {
    giveUp(id, pair);
    const { error, data } = pair;
    error?.end(`error forwarding ports: the streams of request ${id} are not complete`);
    if (error !== undefined) void finished(error).then(() => error.destroy());
    data?.destroy();
  };
  const onStream = (stream: SpdyStream): boolean => {
    const type = stream.headers.get("streamtype");
    const port = portOf(stream);
    if ((type !== "data" && type !== "error") || port === undefined) return false;
    const id = requestId(stream, type);
    let pair = pairs.get(id);
    if (pair?.[type] !== undefined) return false;
    if (pair === undefined) {
      const timer = setTimeout(() => late(id, created), waitMs);
      const ahead = pairs.size < maxDialsAhead;
      const created: Pair = { timer, dial: ahead ? beginDial(deps.dialler, port) : undefined };
      pairs.set(id, (pair = created));
      // If the client closes its half of the pair, there is no need to wait for the timeout.
      stream.once("close", () => {
        if (pairs.get(id) === created) giveUp(id, created);
      });
    }
    pair[type] = stream;
    // Nothing is read from it; unread, it would not close when its client takes it back.
    if (type === "error") stream.resume();
    const { data, error } = pair;
    if (data === undefined || error === undefined) return true;
    drop(id, pair);
    // Where the two differ, the data stream's port counts, as with the Go server.
    const wanted = portOf(data) ?? port;
    let { dial } = pair;
    if (dial?.port !== wanted) {
      dial?.abandon();
      dial = beginDial(deps.dialler, wanted);
    }
    void forward(dial, grant.podSandboxId, { data, error, log: deps.log });
    return true;
  };
  const waitMs = deps.pairTimeoutMs ?? streamCreationTimeoutMs;
  const connection = new SpdyConnection(transport, { log: deps.log, onStream, maxStreams });
  await connection.closed;
  for (const [id, pair] of [...pairs]) giveUp(id, pair);
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

function portOf(stream: SpdyStream): number | undefined {
  const text = stream.headers.get("port") ?? "";
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** Serves the old form: one pair of channels for each port of the request, one connection each. */
export async function runWebSocketPortForward(
  deps: PortForwardDeps,
  grant: PortForwardGrant,
  ws: WebSocket,
  connection: Duplex,
  form: { base64: boolean },
): Promise<void> {
  const mux = new WebSocketMux(
    ws,
    connection,
    { base64: form.base64, closeSignal: false },
    deps.log,
  );
  const work = grant.ports.map((port, index) => {
    const data = mux.open(2 * index);
    const error = mux.open(2 * index + 1);
    error.resume();
    const head = Buffer.alloc(2);
    head.writeUInt16LE(port);
    data.write(head);
    error.write(Buffer.from(head));
    const dial = beginDial(deps.dialler, port);
    return forward(dial, grant.podSandboxId, { data, error, log: deps.log });
  });
  await Promise.all(work);
  await mux.close();
}
