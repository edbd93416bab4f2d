import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { json } from "node:stream/consumers";
import type { Engine } from "../../src/engine/engine.ts";
import { EngineError } from "../../src/engine/errors.ts";
import { FakeDocker } from "./fake-docker.ts";
import { answerOf, routes } from "./fake-routes.ts";

export interface FakeEngineServer {
  docker: FakeDocker;
  /** Stops listening and breaks every connection. */
  close(): Promise<void>;
}

/**
 * A FakeDocker behind HTTP on a unix socket, for what only the wire can show: lost answers, frozen
 * sockets, other API versions. Requests end the way the Engine interface's errors say: a status with
 * Docker's JSON, or a broken connection.
 */
export async function startFakeEngine(options: {
  listen: string;
  docker?: FakeDocker;
}): Promise<FakeEngineServer> {
  const docker = options.docker ?? new FakeDocker();
  const engine = docker.asEngine();
  const server = createServer((request, response) => {
    serve(docker, engine, request, response).catch((error: unknown) => fail(error, response));
  });
  server.on("upgrade", (request, socket: Duplex, head: Buffer) => {
    socket.on("error", () => undefined);
    if (head.length > 0) socket.unshift(head);
    hijack(docker, engine, request, socket).catch((error: unknown) => {
      const { status, message } = answerOf(error);
      if (status === 0) socket.destroy();
      else {
        const text = JSON.stringify({ message });
        socket.end(
          `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\n` +
            `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
        );
      }
    });
  });
  const sockets = new Set<Duplex>();
  server.on("connection", (socket: Duplex) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.listen, resolve);
  });
  return {
    docker,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function serve(
  docker: FakeDocker,
  engine: Engine,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://docker");
  response.setHeader("Api-Version", docker.apiVersion.join("."));
  if (url.pathname === "/_ping") {
    await engine.ping();
    response.end("OK");
    return;
  }
  const path = checkedPath(docker, url.pathname);
  const closed = new AbortController();
  response.once("close", () => closed.abort());
  for (const [method, pattern, handler] of routes) {
    const match = request.method === method ? pattern.exec(path) : null;
    if (match === null) continue;
    const hasBody = request.headers["content-type"] === "application/json";
    const body = hasBody ? await json(request) : undefined;
    const id = decodeURIComponent(match[1] ?? "");
    const { signal } = closed;
    const query = url.searchParams;
    answer(response, await handler({ engine, docker, id, query, body, response, signal }));
    return;
  }
  answerJson(response, 404, { message: "page not found" });
}

/** The path without its API version; other versions than the engine's are refused as Docker does. */
function checkedPath(docker: FakeDocker, path: string): string {
  const match = /^\/v1\.(\d+)(\/.*)$/.exec(path);
  if (match?.[2] === undefined) return path;
  const minor = Number(match[1]);
  const refusal =
    minor > docker.apiVersion[1]
      ? `client version 1.${minor} is too new. Maximum supported API version is ${docker.apiVersion.join(".")}`
      : minor < docker.minApiVersion[1]
        ? `client version 1.${minor} is too old. Minimum supported API version is ${docker.minApiVersion.join(".")}, please upgrade your client to a newer version`
        : undefined;
  if (refusal === undefined) return match[2];
  throw new EngineError({ failure: "status", status: 400, operation: "", message: refusal });
}

function answer(response: ServerResponse, result: unknown): void {
  if (result === undefined || response.writableEnded) return;
  if (typeof result === "number") {
    response.statusCode = result;
    response.end();
  } else answerJson(response, response.statusCode, result);
}

function answerJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(value));
}

function fail(error: unknown, response: ServerResponse): void {
  const { status, message } = answerOf(error);
  if (status === 0 || response.headersSent) response.destroy();
  else answerJson(response, status, { message });
}

async function hijack(
  docker: FakeDocker,
  engine: Engine,
  request: IncomingMessage,
  socket: Duplex,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://docker");
  const path = checkedPath(docker, url.pathname);
  const exec = /^\/exec\/([^/]+)\/start$/.exec(path)?.[1];
  const container = /^\/containers\/([^/]+)\/attach$/.exec(path)?.[1];
  let stream: Duplex;
  if (exec !== undefined) {
    await readBody(request, socket);
    stream = await engine.startExec(decodeURIComponent(exec), false);
  } else if (container !== undefined) {
    const options = { stdin: true, stdout: true, stderr: true, detachKeys: "" };
    stream = await engine.attachContainer(decodeURIComponent(container), options);
  } else
    throw new EngineError({
      failure: "status",
      status: 404,
      operation: "",
      message: "page not found",
    });
  socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  stream.once("close", () => socket.destroy());
  socket.once("close", () => stream.destroy());
  socket.pipe(stream);
  stream.pipe(socket);
}

/** Node leaves the body of an upgrade request on the socket. */
async function readBody(request: IncomingMessage, socket: Duplex): Promise<void> {
  let left = Number(request.headers["content-length"] ?? "0");
  while (left > 0) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) {
      await new Promise((resolve) => socket.once("readable", resolve));
      if (socket.destroyed) return;
      continue;
    }
    if (chunk.length > left) socket.unshift(chunk.subarray(left));
    left -= Math.min(left, chunk.length);
  }
}
