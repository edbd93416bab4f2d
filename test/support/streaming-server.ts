import { connect } from "node:net";
import type { Socket } from "node:net";
import { silentLogger } from "../../src/log.ts";
import { createStreamingServer } from "../../src/streaming/server.ts";
import type { StreamingServerDeps } from "../../src/streaming/deps.ts";
import type { StreamingServer } from "../../src/streaming/server.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { noExecNotes } from "./exec-notes.ts";
import { SpdyClient } from "./spdy-client.ts";
import { StreamingEngine } from "./streaming-engine.ts";

/** A server on a loopback port over an engine that only exists in memory. */
export async function startStreamingServer(
  deps: Partial<StreamingServerDeps> = {},
): Promise<StreamingServer> {
  const server = createStreamingServer({
    engine: new StreamingEngine((process) => process.exit(0)).calls,
    sandboxNetns: () => Promise.resolve({ netns: undefined }),
    endExec: () => Promise.resolve(),
    execNotes: noExecNotes,
    clock: systemClock,
    log: silentLogger,
    ...deps,
  });
  await server.start();
  return server;
}

/** Where a streaming server listens. */
export interface Listening {
  readonly address: { port: number } | undefined;
}

export function connectTo(server: Listening): Socket {
  const socket = connect({ host: "127.0.0.1", port: server.address!.port, allowHalfOpen: true });
  socket.on("error", () => undefined);
  return socket;
}

/** Sends bytes and reads until the server closes; rejects when that takes more than two seconds. */
export async function rawRequest(server: StreamingServer, text: string | Buffer): Promise<string> {
  const socket = connectTo(server);
  socket.setTimeout(2_000, () => socket.destroy(new Error("the server keeps the connection")));
  socket.write(text);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    socket.on("end", resolve);
    socket.on("error", (error) => {
      // What was not read in time may be answered by a reset once the reply is out.
      if (chunks.length > 0 && (error as NodeJS.ErrnoException).code === "ECONNRESET") resolve();
      else reject(error);
    });
  });
  socket.destroy();
  return Buffer.concat(chunks).toString("latin1");
}

export function spdyRequest(url: string, protocol: string): string {
  const lines = [
    `POST ${new URL(url).pathname} HTTP/1.1`,
    "Host: node",
    "Content-Length: 0",
    "Connection: Upgrade",
    "Upgrade: SPDY/3.1",
    `X-Stream-Protocol-Version: ${protocol}`,
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

export function webSocketRequest(url: string, protocol: string): string {
  const lines = [
    `GET ${new URL(url).pathname} HTTP/1.1`,
    "Host: node",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    `Sec-WebSocket-Protocol: ${protocol}`,
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Upgrades and returns the client once the 101 is read. */
export async function spdyUpgrade(
  server: Listening,
  url: string,
  protocol = "v4.channel.k8s.io",
): Promise<SpdyClient> {
  const socket = connectTo(server);
  socket.write(spdyRequest(url, protocol));
  const head = await new Promise<Buffer>((resolve, reject) => {
    let text = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      text = Buffer.concat([text, chunk]);
      if (!text.includes("\r\n\r\n")) return;
      socket.off("data", onData);
      socket.pause();
      resolve(text);
    };
    socket.on("data", onData);
    socket.once("error", reject);
    socket.once("end", () => reject(new Error(text.toString())));
  });
  const end = head.indexOf("\r\n\r\n") + 4;
  if (!head.toString("latin1").startsWith("HTTP/1.1 101 ")) throw new Error(head.toString());
  if (end < head.length) socket.unshift(head.subarray(end));
  const client = new SpdyClient(socket);
  socket.resume();
  return client;
}
