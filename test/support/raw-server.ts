import { createServer } from "node:net";
import type { Socket } from "node:net";

export interface RawServer {
  /** Head of each request, in order. */
  readonly requests: string[];
  /** Connections accepted so far. */
  readonly accepted: () => number;
  close(): Promise<void>;
}

/**
 * A server that says on a unix socket exactly the bytes it is given. Pings are answered as Docker
 * does unless `handlePing`. `answer` gets the request's head and its number among those passed on.
 */
export async function startRawServer(
  listen: string,
  answer: (socket: Socket, head: string, number: number) => void,
  options: { apiVersion?: string; handlePing?: boolean; backlog?: number } = {},
): Promise<RawServer> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  let passedOn = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
    let buffered = "";
    socket.on("data", (chunk: Buffer) => {
      buffered += chunk.toString("latin1");
      for (let end = buffered.indexOf("\r\n\r\n"); end >= 0; end = buffered.indexOf("\r\n\r\n")) {
        const head = buffered.slice(0, end);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? "0");
        if (buffered.length < end + 4 + length) return;
        buffered = buffered.slice(end + 4 + length);
        requests.push(head);
        if (options.handlePing !== true && head.startsWith("GET /_ping ")) {
          const version = options.apiVersion ?? "1.47";
          socket.end(
            `HTTP/1.1 200 OK\r\nApi-Version: ${version}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK`,
          );
        } else {
          passedOn += 1;
          answer(socket, head, passedOn);
        }
      }
    });
    socket.on("end", () => socket.end());
  });
  const { backlog } = options;
  await new Promise<void>((resolve) =>
    server.listen({ path: listen, ...(backlog === undefined ? {} : { backlog }) }, resolve),
  );
  return {
    requests,
    accepted: () => accepted,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** A whole answer with a length. */
export function httpAnswer(
  status: number,
  body: string,
  headers: Record<string, string> = { "Content-Type": "application/json" },
): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return (
    `HTTP/1.1 ${status} Status\r\n${lines.join("")}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}
