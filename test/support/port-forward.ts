import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { duplexPair } from "node:stream";
import { silentLogger } from "../../src/log.ts";
import { createDialler } from "../../src/streaming/dialler.ts";
import type { Dialler } from "../../src/streaming/dialler.ts";
import { runSpdyPortForward } from "../../src/streaming/port-forward.ts";
import { SpdyClient } from "./spdy-client.ts";

/** Dials this process's own network. */
export const localDialler = createDialler({ netns: undefined, log: silentLogger });

export interface Forward {
  client: SpdyClient;
  over: Promise<void>;
  /** The ports that were dialled. */
  dials: number[];
}

/** A connection whose pod is a server of this process; `dial` may be replaced. */
export function serveForward(dial: Dialler["dial"], pairTimeoutMs?: number): Forward {
  const [clientEnd, serverEnd] = duplexPair();
  const dials: number[] = [];
  const dialler: Dialler = {
    dial: (port, signal) => {
      dials.push(port);
      return dial(port, signal);
    },
    close: () => undefined,
  };
  const timeout = pairTimeoutMs === undefined ? {} : { pairTimeoutMs };
  const grant = { podSandboxId: "pod1", ports: [] };
  const over = runSpdyPortForward({ dialler, log: silentLogger, ...timeout }, grant, serverEnd);
  return { client: new SpdyClient(clientEnd), over, dials };
}

/** Opens the two streams of a connection as client-go does. */
export function openPair(
  client: SpdyClient,
  port: number | string,
  requestid?: string,
): [data: number, error: number] {
  const headers = { port: String(port), ...(requestid === undefined ? {} : { requestid }) };
  const error = client.open({ streamtype: "error", ...headers });
  client.send(error, "", true);
  const data = client.open({ streamtype: "data", ...headers });
  return [data, error];
}

export interface PodServer {
  port: number;
  connections: Socket[];
  close(): void;
}

/** The server in the pod. */
export async function listenInPod(onConnection: (socket: Socket) => void): Promise<PodServer> {
  const connections: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(socket);
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  // Room for all that a test opens at once, so that the kernel drops nothing on a busy machine.
  const listening = { port: 0, host: "127.0.0.1", backlog: 4096 };
  await new Promise<void>((resolve) => server.listen(listening, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    close() {
      for (const socket of connections) socket.destroy();
      server.close();
    },
  };
}
