import { request } from "node:http";
import type { Agent, IncomingMessage } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { systemClock } from "../sys/clock.ts";

/** What goes over the wire, whole. */
export interface WireRequest {
  socketPath: string;
  method: string;
  path: string;
  headers: Record<string, string>;
  /** undefined: a socket of its own, closed afterwards. */
  agent: Agent | undefined;
  body: string | Readable | undefined;
  /** Asks for the raw connection ("101 UPGRADED"). */
  hijack: boolean;
}

export type WireAnswer =
  | { kind: "response"; response: IncomingMessage }
  | { kind: "hijacked"; socket: Duplex; response: IncomingMessage };

/** The connection failed before an answer. `reused` tells of a pooled socket that had died idle. */
export class ConnectionFault extends Error {
  override readonly name = "ConnectionFault";
  readonly reused: boolean;
  constructor(cause: Error, reused: boolean) {
    super(cause.message, { cause });
    this.reused = reused;
  }
}

/**
 * Sends one request and resolves with its headers. From the answer on, `signal` destroys the
 * connection with its reason, until the response or the hijacked socket has closed.
 */
export function exchange(wire: WireRequest, signal: AbortSignal): Promise<WireAnswer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const { socketPath, method, path, headers, body } = wire;
    const req = request({ socketPath, method, path, headers, agent: wire.agent ?? false });
    const onAbort = (): void => void req.destroy(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    const release = (): void => signal.removeEventListener("abort", onAbort);

    req.on("error", (error) => {
      release();
      if (typeof body === "object") body.destroy();
      reject(
        signal.aborted ? (signal.reason as Error) : new ConnectionFault(error, req.reusedSocket),
      );
    });
    req.on("response", (response) => {
      release();
      // An answer that comes before the whole upload went out is the upload's end.
      if (typeof body === "object") response.once("end", () => body.destroy());
      holdTo(signal, response);
      resolve({ kind: "response", response });
    });
    req.on("upgrade", (response, socket, head) => {
      release();
      if (head.length > 0) socket.unshift(head);
      holdTo(signal, socket);
      resolve({ kind: "hijacked", socket, response });
    });
    if (typeof body === "object") {
      body.on("error", (error) => req.destroy(error));
      body.pipe(req);
    } else {
      req.end(body);
    }
  });
}

/** A full backlog empties as fast as the engine accepts; the first looks are close together. */
const acceptPauseMs = [5, 10, 20, 50];
const longAcceptPauseMs = 100;

/**
 * As `exchange`, and patient while the socket's backlog is full: hundreds of stops at once meet
 * engines that listen with room for 128 connections. The kernel says so (EAGAIN) before anything
 * was sent, so trying again is safe; `signal` ends it.
 */
export async function exchangeWhenAccepted(
  wire: WireRequest,
  signal: AbortSignal,
): Promise<WireAnswer> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await exchange(wire, signal);
    } catch (error) {
      // A streamed body was ended with its request.
      if (!isBacklogFull(error) || typeof wire.body === "object") throw error;
    }
    await systemClock.sleep(acceptPauseMs[attempt] ?? longAcceptPauseMs, signal);
  }
}

function isBacklogFull(error: unknown): boolean {
  if (!(error instanceof ConnectionFault)) return false;
  const { code, syscall } = error.cause as NodeJS.ErrnoException;
  return code === "EAGAIN" && syscall === "connect";
}

function holdTo(signal: AbortSignal, stream: Readable | Duplex): void {
  const onAbort = (): void => void stream.destroy(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  stream.once("close", () => signal.removeEventListener("abort", onAbort));
  // The reader may not have come yet when the engine dies; it sees the stream destroyed then.
  stream.on("error", () => undefined);
}

/**
 * The body as text. A body that breaks off rejects: the engine died while it answered. One over
 * `limit` bytes is cut there, or rejected with `overflow`.
 */
export function readText(
  response: IncomingMessage,
  limit: number,
  overflow?: () => Error,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const text = (): string => Buffer.concat(chunks).toString("utf8");
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) {
        chunks.push(chunk);
        return;
      }
      chunks.push(chunk.subarray(0, chunk.length - (size - limit)));
      if (overflow === undefined) resolve(text());
      else reject(overflow());
      response.destroy();
    });
    response.on("end", () => {
      if (response.complete) resolve(text());
      else reject(new Error("the answer broke off"));
    });
    response.on("error", reject);
    response.on("close", () => reject(new Error("the answer broke off")));
  });
}
