import { createServer, request as httpRequest } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { Transform } from "node:stream";
import type { Duplex } from "node:stream";
import { routeOf } from "../../src/engine/route.ts";
import { FaultList } from "./proxy-faults.ts";
import type { Fault } from "./proxy-faults.ts";

/** One request as the proxy saw it. */
export interface ProxiedRequest {
  method: string;
  /** Without version and query, ids and names replaced: "/containers/{id}/json". */
  route: string;
  /** As sent. */
  path: string;
  /** Container or exec id, or image name, where the route has one. */
  id: string;
  headers: IncomingHttpHeaders;
  /** What the client was answered; 0 while it waits and when it never was. */
  status: number;
  /** The exchange is over on the client's side: answered, or its connection is closed. */
  closed: boolean;
  /** performance.now() when the request came. */
  startedAt: number;
  /** The fault that it met. */
  fault?: Fault["action"];
}

export interface DockerProxy {
  /** In the order of their arrival; the same array for the proxy's life. */
  readonly requests: ProxiedRequest[];
  readonly faults: FaultList;
  /** Forgets the requests seen so far. */
  reset(): void;
  /** Requests seen, all or those whose "METHOD /route" matches. */
  count(filter?: RegExp): number;
  /** Ends what faults leave without an answer, as an engine does that comes back and is restarted. */
  cutUnanswered(): void;
  /** Connections that clients hold open. */
  readonly connections: number;
  close(): Promise<void>;
}

/**
 * Stands between a client and the engine's socket: counts requests and makes trouble. What it
 * forwards arrives unchanged, hijacked connections with half-close included. Each request has an
 * upstream connection of its own, so that an engine's restart shows as what it is.
 */
export async function startDockerProxy(options: {
  upstream: string;
  listen: string;
  /** For faults with a probability. */
  random?: () => number;
  /** What the client sees of the engine's /info. */
  editInfo?: (info: object) => object;
}): Promise<DockerProxy> {
  const requests: ProxiedRequest[] = [];
  const faults = new FaultList(options.random ?? Math.random);
  const sockets = new Set<Duplex>();
  const unanswered = new Set<Duplex>();
  const keepWaiting = (fault: Fault | undefined, socket: Duplex): void => {
    if (fault?.action !== "hang" && fault?.action !== "stall") return;
    unanswered.add(socket);
    socket.once("close", () => unanswered.delete(socket));
  };

  const begin = (
    message: IncomingMessage,
  ): { record: ProxiedRequest; fault: Fault | undefined } => {
    const { method = "", url = "/" } = message;
    const { route, id } = describe(url);
    const fault = faults.take(method, route);
    const record: ProxiedRequest = {
      method,
      route,
      path: url,
      id,
      headers: message.headers,
      status: 0,
      closed: false,
      startedAt: performance.now(),
      ...(fault === undefined ? {} : { fault: fault.action }),
    };
    requests.push(record);
    return { record, fault };
  };

  const server = createServer((message, response) => {
    const { record, fault } = begin(message);
    keepWaiting(fault, message.socket);
    response.once("close", () => (record.closed = true));
    void whenDue(fault).then(() => {
      if (fault?.action === "cutBefore") message.socket.destroy();
      else if (fault?.action === "status") answerOurselves(fault, record, message, response);
      else if (fault?.action !== "hang")
        void rewritten(fault, message).then((body) =>
          forward(
            options.upstream,
            faults,
            fault,
            record,
            message,
            response,
            body,
            options.editInfo,
          ),
        );
    });
  });
  server.on("upgrade", (message: IncomingMessage, client: Socket, head: Buffer) => {
    const { record, fault } = begin(message);
    keepWaiting(fault, client);
    client.on("error", () => undefined);
    client.once("close", () => (record.closed = true));
    void whenDue(fault).then(() => {
      if (fault?.action === "cutBefore") client.destroy();
      else if (fault?.action === "status") client.end(rawAnswer(fault, record));
      else if (fault?.action !== "hang")
        tunnel(options.upstream, fault, record, message, client, head);
    });
  });
  server.on("connection", (socket: Duplex) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  // Requests may wait as long as a test wants them to.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.listen, resolve);
  });

  return {
    requests,
    faults,
    reset: () => void requests.splice(0),
    count: (filter) =>
      filter === undefined
        ? requests.length
        : requests.filter((r) => filter.test(`${r.method} ${r.route}`)).length,
    cutUnanswered: () => {
      for (const socket of unanswered) socket.destroy();
    },
    get connections() {
      return sockets.size;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function forward(
  upstream: string,
  faults: FaultList,
  fault: Fault | undefined,
  record: ProxiedRequest,
  message: IncomingMessage,
  response: ServerResponse,
  body: Buffer | undefined,
  editInfo: ((info: object) => object) | undefined,
): void {
  const cut = (): void => void message.socket.destroy();
  const { method = "", url = "/" } = message;
  // With "close" the engine's answer could come before Node's last (empty) write, which then fails with EPIPE.
  const headers = [...endToEnd(message.rawHeaders, body), "Connection", "keep-alive"];
  const outgoing = httpRequest({ socketPath: upstream, method, path: url, headers, agent: false });
  outgoing.on("error", cut);
  response.once("close", () => outgoing.destroy());
  message.on("error", () => outgoing.destroy());
  if (body === undefined) message.pipe(outgoing);
  else outgoing.end(body);
  outgoing.on("response", (answer) => {
    answer.on("error", cut);
    if (fault?.action === "cutAfter") {
      answer.resume();
      answer.once("end", cut);
      return;
    }
    record.status = answer.statusCode ?? 0;
    response.sendDate = false;
    const isInfo =
      fault === undefined &&
      editInfo !== undefined &&
      record.route === "/info" &&
      record.status === 200;
    const edited = (parts: Buffer[]): string =>
      JSON.stringify(editInfo?.(JSON.parse(Buffer.concat(parts).toString()) as object));
    const kept = endToEnd(answer.rawHeaders);
    response.writeHead(
      record.status,
      answer.statusMessage,
      isInfo ? without(kept, "content-length") : kept,
    );
    response.flushHeaders();
    if (fault?.action === "stall") answer.resume();
    else if (isInfo)
      void answer.toArray().then((parts) => response.end(edited(parts as Buffer[])), cut);
    else if (fault?.action === "truncate") truncate(fault, answer, response, cut);
    else if (fault?.action === "drop")
      answer.pipe(lineFilter(() => !faults.dropsLine(fault))).pipe(response);
    else answer.pipe(response);
  });
}

function without(raw: string[], name: string): string[] {
  return raw.filter((_, at) => raw[at - (at % 2)]?.toLowerCase() !== name);
}

/** The body that goes to the engine; undefined to pass on what comes. */
async function rewritten(
  fault: Fault | undefined,
  message: IncomingMessage,
): Promise<Buffer | undefined> {
  if (fault?.rewrite === undefined) return undefined;
  const parts = (await message.toArray()) as Buffer[];
  return Buffer.from(
    JSON.stringify(fault.rewrite(JSON.parse(Buffer.concat(parts).toString()) as object)),
  );
}

function truncate(
  fault: Fault,
  answer: IncomingMessage,
  response: ServerResponse,
  cut: () => void,
): void {
  const length = Number(answer.headers["content-length"] ?? "2");
  let left = fault.bytes ?? Math.floor(length / 2);
  answer.on("data", (chunk: Buffer) => {
    if (left < 0) return;
    const part = chunk.subarray(0, left);
    left -= part.length;
    if (left > 0) {
      response.write(part);
      return;
    }
    left = -1;
    // Cut only when the part is on its way, or the client would see less than was promised.
    response.write(part, cut);
  });
  answer.once("end", cut);
}

/** Raw bytes both ways, each direction ended on its own. */
function tunnel(
  upstream: string,
  fault: Fault | undefined,
  record: ProxiedRequest,
  message: IncomingMessage,
  client: Socket,
  head: Buffer,
): void {
  const engine = connect({ path: upstream, allowHalfOpen: true });
  client.allowHalfOpen = true;
  const cut = (): void => {
    engine.destroy();
    client.destroy();
  };
  engine.on("error", cut);
  client.once("close", () => engine.destroy());
  const lines = [`${message.method ?? ""} ${message.url ?? ""} HTTP/${message.httpVersion}`];
  for (let at = 0; at < message.rawHeaders.length; at += 2) {
    lines.push(`${message.rawHeaders[at] ?? ""}: ${message.rawHeaders[at + 1] ?? ""}`);
  }
  engine.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  engine.write(head);
  client.pipe(engine);
  let left = fault?.action === "truncate" ? (fault.bytes ?? 1) : Number.POSITIVE_INFINITY;
  let answered = false;
  engine.on("data", (chunk: Buffer) => {
    if (fault?.action === "cutAfter") {
      cut();
      return;
    }
    if (!answered) {
      answered = true;
      record.status = Number(/^HTTP\/1\.1 (\d{3})/.exec(chunk.toString("latin1"))?.[1] ?? "0");
      // What follows the 101 in the same chunk counts as body, its head does not.
      left += Math.max(0, chunk.indexOf("\r\n\r\n") + 4);
    }
    if (fault?.action === "stall") return;
    const part = chunk.subarray(0, Math.min(left, chunk.length));
    left -= part.length;
    if (left <= 0) client.write(part, cut);
    else if (!client.write(part)) {
      engine.pause();
      client.once("drain", () => engine.resume());
    }
  });
  engine.once("end", () => client.end());
  engine.once("close", () => {
    if (!engine.readableEnded) client.destroy();
  });
}

function answerOurselves(
  fault: Fault,
  record: ProxiedRequest,
  message: IncomingMessage,
  response: ServerResponse,
): void {
  message.resume();
  record.status = fault.status ?? 500;
  response.writeHead(record.status, { "Content-Type": contentTypeOf(fault) });
  response.end(fault.body ?? '{"message":"made up by the fault proxy"}');
}

function rawAnswer(fault: Fault, record: ProxiedRequest): string {
  record.status = fault.status ?? 500;
  const body = fault.body ?? '{"message":"made up by the fault proxy"}';
  return (
    `HTTP/1.1 ${record.status} Fault\r\nContent-Type: ${contentTypeOf(fault)}\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}

function contentTypeOf(fault: Fault): string {
  if (fault.contentType !== undefined) return fault.contentType;
  return fault.body?.trimStart().startsWith("<") === true ? "text/html" : "application/json";
}

async function whenDue(fault: Fault | undefined): Promise<void> {
  await fault?.until?.().catch(() => undefined);
  if (fault?.delayMs === undefined) return;
  const { delayMs } = fault;
  await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
}

/** Headers without those that are between two hops only, with the length of a body that was rewritten. */
function endToEnd(raw: string[], body?: Buffer): string[] {
  const left = ["connection", "keep-alive"];
  if (body !== undefined) left.push("content-length", "transfer-encoding");
  const kept = body === undefined ? [] : ["Content-Length", String(body.length)];
  for (let at = 0; at < raw.length; at += 2) {
    const [name = "", value = ""] = [raw[at], raw[at + 1]];
    if (!left.includes(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}

/** Other clients than ours leave the slashes of image names as they are. */
function describe(url: string): { route: string; id: string } {
  const path = url.replace(/\?.*$/s, "").replace(/^\/v\d+\.\d+/, "");
  const image = /^\/images\/(.+?)((?:\/(?:json|tag|history|get|push))?)$/.exec(path);
  const name = image?.[1] ?? "";
  const plain = !name.includes("/")
    ? path
    : `/images/${encodeURIComponent(name)}${image?.[2] ?? ""}`;
  const route = routeOf(plain);
  const placeholder = route.split("/").findIndex((part) => part.startsWith("{"));
  return {
    route,
    id: placeholder < 0 ? "" : decodeURIComponent(plain.split("/")[placeholder] ?? ""),
  };
}

/** Passes whole lines, those that `keep` wants. */
function lineFilter(keep: () => boolean): Transform {
  let rest = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        if (keep()) this.push(Buffer.from(rest.subarray(0, end + 1)));
        rest = rest.subarray(end + 1);
      }
      done();
    },
    flush(done) {
      if (rest.length > 0) this.push(rest);
      done();
    },
  });
}
