import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, createWebSocketStream } from "ws";
import type { WebSocket } from "ws";
import { CriError, errorText } from "../errors.ts";
import { settleWithin } from "../sys/abort.ts";
import { runAttach } from "./attach.ts";
import type { AttachGrant } from "./attach.ts";
import type { CommandChannels, WantedStreams } from "./channels.ts";
import type { StreamingServerDeps } from "./deps.ts";
import { createDialler } from "./dialler.ts";
import type { Dialler } from "./dialler.ts";
import { runExec } from "./exec.ts";
import type { ExecGrant } from "./exec.ts";
import { runSpdyPortForward, runWebSocketPortForward } from "./port-forward.ts";
import type { PortForwardGrant } from "./port-forward.ts";
import {
  negotiate,
  portForwardProtocol,
  spdyCommandProtocols,
  tunnelProtocol,
  webSocketCommandProtocols,
  webSocketPortForwardProtocols,
} from "./protocols.ts";
import type { CommandProtocol } from "./protocols.ts";
import { collectSpdyChannels } from "./spdy-channels.ts";
import { acceptSpdy, noCommonProtocol, refuse } from "./upgrade.ts";
import type { UpgradeRequest } from "./upgrade.ts";
import { openWebSocketChannels } from "./websocket.ts";

/** A client whose request was well-formed and whose token was good. */
export interface Client {
  req: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  request: UpgradeRequest;
}

/** Everything that runs behind an accepted upgrade. */
export interface Sessions {
  exec(client: Client, grant: ExecGrant): void;
  attach(client: Client, grant: AttachGrant): void;
  portForward(client: Client, grant: PortForwardGrant): void;
  count(): number;
  close(graceMs: number): Promise<void>;
}

/** As Kubernetes' servers take it. A message is held as a whole, so this is memory for each connection. */
const maxMessageBytes = 32 << 20;
/** As the Go server: a session without a byte for so long is forgotten. */
const idleTimeoutMs = 4 * 3_600_000;
/** What a session may take to clean up after its client was cut off. */
const endTimeoutMs = 5_000;
/** A pre-v4 client may offer nothing at all. */
const unnamedProtocol = "channel.k8s.io";

export function createSessions(deps: StreamingServerDeps): Sessions {
  const { log } = deps;
  const running = new Set<Promise<void>>();
  const sockets = new Set<Duplex>();
  const stopping = new AbortController();
  const webSocketOptions = {
    noServer: true,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    clientTracking: false,
    // Whoever still takes what was sent is not cut off: see destroyOnceIdle. (The types lack it.)
    closeTimeout: idleTimeoutMs,
  };
  const webSockets = new WebSocketServer(webSocketOptions);
  /** What was chosen for each handshake under way. */
  const chosen = new WeakMap<IncomingMessage, string>();
  webSockets.on("headers", (headers, req) => {
    const protocol = chosen.get(req);
    if (protocol !== undefined) headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
  });

  const track = (client: Client, work: Promise<void>): void => {
    const { socket } = client;
    sockets.add(socket);
    const tracked = work
      .catch((err: unknown) => {
        log.error({ err, kind: client.request.kind }, "streaming session failed");
        socket.destroy();
      })
      .finally(() => {
        running.delete(tracked);
        sockets.delete(socket);
      });
    running.add(tracked);
  };

  /** Calls `use` before it returns to the event loop, since `head` may hold the first message already. */
  const openWebSocket = <T>(
    client: Client,
    protocol: string,
    use: (ws: WebSocket) => T,
  ): Promise<T | undefined> => {
    const { req, socket, head, request } = client;
    // ws refuses names with a slash, which Kubernetes uses, so the negotiation is ours alone.
    if (request.offered.length > 0) chosen.set(req, protocol);
    delete req.headers["sec-websocket-protocol"];
    if (socket.destroyed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      // A handshake that ws refuses ends with the socket and without a callback.
      socket.once("close", () => resolve(undefined));
      webSockets.handleUpgrade(req, socket, head, (ws) => {
        setIdleTimeout(socket);
        resolve(use(ws));
      });
    });
  };

  const openCommand = async (
    client: Client,
    wanted: WantedStreams,
  ): Promise<CommandChannels | undefined> => {
    const { socket, request } = client;
    const spdy = request.transport === "spdy";
    const spoken = spdy ? spdyCommandProtocols : webSocketCommandProtocols;
    const offered = request.offered.length === 0 && !spdy ? [unnamedProtocol] : request.offered;
    const protocol: CommandProtocol | undefined = negotiate(offered, spoken);
    if (protocol === undefined) {
      refuse(
        socket,
        noCommonProtocol(
          offered,
          spoken.map(({ name }) => name),
        ),
      );
      return undefined;
    }
    if (spdy) {
      startSpdy(client, protocol.name);
      const timeoutMs = deps.streamCreationTimeoutMs;
      return collectSpdyChannels(socket, {
        ...{ wanted, protocol, log },
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
    }
    return openWebSocket(client, protocol.name, (ws) =>
      openWebSocketChannels(ws, socket, { wanted, protocol, log }),
    );
  };

  const exec = async (client: Client, grant: ExecGrant): Promise<void> => {
    const channels = await openCommand(client, grant);
    if (channels !== undefined)
      await runExec({ ...deps, stopping: stopping.signal }, grant, channels);
  };
  const attach = async (client: Client, grant: AttachGrant): Promise<void> => {
    const channels = await openCommand(client, grant);
    if (channels !== undefined)
      await runAttach({ ...deps, stopping: stopping.signal }, grant, channels, client.socket);
  };

  const portForward = async (client: Client, grant: PortForwardGrant): Promise<void> => {
    const { socket, request } = client;
    const spdy = request.transport === "spdy";
    const channelForms = [...webSocketPortForwardProtocols].map(([name, form]) => ({
      name,
      ...form,
    }));
    const spoken = spdy
      ? [{ name: portForwardProtocol, base64: false }]
      : [{ name: tunnelProtocol, base64: false }, ...channelForms];
    const offered = request.offered.length === 0 && !spdy ? [portForwardProtocol] : request.offered;
    const protocol = negotiate(offered, spoken);
    if (protocol === undefined) {
      refuse(
        socket,
        noCommonProtocol(
          offered,
          spoken.map(({ name }) => name),
        ),
      );
      return;
    }
    const tunnelled = protocol.name === tunnelProtocol;
    if (!spdy && !tunnelled && grant.ports.length === 0) {
      refuse(socket, { code: 400, message: "the request names no ports" });
      return;
    }
    let dialler: Dialler;
    try {
      const { netns } = await deps.sandboxNetns(grant.podSandboxId);
      // Its client may have gone in the meantime; nobody would tell of that once more.
      if (socket.destroyed || socket.readableEnded) {
        socket.destroy();
        return;
      }
      dialler = createDialler({ program: deps.dialProgram, netns, log });
    } catch (error) {
      const code = error instanceof CriError && error.kind === "NotFound" ? 404 : 500;
      refuse(socket, { code, message: `port forward: ${errorText(error)}` });
      return;
    }
    const work = { dialler, log, ...pairTimeout(deps) };
    try {
      if (spdy) {
        startSpdy(client, protocol.name);
        await runSpdyPortForward(work, grant, socket);
        return;
      }
      // The session is put in an object: a promise would be awaited inside already.
      const session = await openWebSocket(client, protocol.name, (ws) => ({
        over: tunnelled
          ? runSpdyPortForward(work, grant, createWebSocketStream(ws))
          : runWebSocketPortForward(work, grant, ws, socket, protocol),
      }));
      await session?.over;
    } finally {
      dialler.close();
    }
  };

  const allWithin = (ms: number): Promise<void> =>
    settleWithin(Promise.all(running), ms, deps.clock);

  return {
    exec: (client, grant) => track(client, exec(client, grant)),
    attach: (client, grant) => track(client, attach(client, grant)),
    portForward: (client, grant) => track(client, portForward(client, grant)),
    count: () => running.size,
    async close(graceMs) {
      await allWithin(graceMs);
      stopping.abort();
      for (const socket of sockets) socket.destroy();
      await allWithin(endTimeoutMs);
    },
  };
}

function startSpdy({ socket, head }: Client, protocol: string): void {
  setIdleTimeout(socket);
  acceptSpdy(socket, protocol);
  if (head.length > 0) socket.unshift(head);
}

function setIdleTimeout(socket: Duplex): void {
  if (socket instanceof Socket) socket.setTimeout(idleTimeoutMs, () => socket.destroy());
}

function pairTimeout(deps: StreamingServerDeps): { pairTimeoutMs?: number } {
  const pairTimeoutMs = deps.streamCreationTimeoutMs;
  return pairTimeoutMs === undefined ? {} : { pairTimeoutMs };
}
