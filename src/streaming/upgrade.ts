import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { StreamKind } from "./tokens.ts";

/** A well-formed request to change the protocol; the token is not looked at here. */
export interface UpgradeRequest {
  kind: StreamKind;
  token: string;
  transport: "spdy" | "websocket";
  /** Sub-protocols in the client's order of preference. */
  offered: string[];
}

export interface Refusal {
  code: number;
  message: string;
  headers?: readonly string[];
}

/** Node counts header bytes; the number of headers is ours to count. Go's servers only count bytes. */
export const maxRequestHeaders = 1000;
const maxOffered = 32;

/**
 * Checks what Node's strict parser lets through but a streaming client never sends (T5). Returns a
 * refusal for everything else: what is not understood to the letter must not reach the raw phase.
 * An Origin header is no reason to refuse: the API server passes on those of web terminals, Go's
 * WebSocket client always sends one, and what protects a session is the token in its URL.
 */
export function readUpgrade(req: IncomingMessage): UpgradeRequest | Refusal {
  if (req.rawHeaders.length > 2 * maxRequestHeaders)
    return { code: 431, message: "too many headers" };
  if (req.httpVersion !== "1.1") return bad("an upgrade needs HTTP/1.1");
  const path = /^\/(exec|attach|portforward)\/([A-Za-z0-9_-]{1,64})(?:\?|$)/.exec(req.url ?? "");
  const [, kind, token] = path ?? [];
  if (kind === undefined || token === undefined) return { code: 404, message: "not found" };
  const { headers } = req;
  if (countOf(req, "host") !== 1) return bad("one Host header is needed");
  if (countOf(req, "upgrade") !== 1) return bad("one Upgrade header is needed");
  if (headers["transfer-encoding"] !== undefined || headers.expect !== undefined) {
    return bad("an upgrade has no body");
  }
  // Go's client sends "Content-Length: 0" with a POST.
  if (headers["content-length"] !== undefined && headers["content-length"] !== "0") {
    return bad("an upgrade has no body");
  }
  const streamKind = kind as StreamKind;
  switch (headers.upgrade?.toLowerCase()) {
    case "spdy/3.1": {
      if (req.method !== "POST" && req.method !== "GET") return notAllowed;
      const offered = listOf(headers["x-stream-protocol-version"]);
      if (offered.length === 0) return bad("header X-Stream-Protocol-Version is missing");
      if (offered.length > maxOffered) return bad("too many protocols");
      return { kind: streamKind, token, transport: "spdy", offered };
    }
    case "websocket": {
      if (req.method !== "GET") return notAllowed;
      const offered = listOf(headers["sec-websocket-protocol"]);
      if (offered.length > maxOffered) return bad("too many protocols");
      return { kind: streamKind, token, transport: "websocket", offered };
    }
    default:
      return bad("only SPDY/3.1 and WebSocket are spoken here");
  }
}

export function isRefusal(value: object): value is Refusal {
  return "code" in value;
}

const notAllowed: Refusal = { code: 405, message: "method not allowed" };

function bad(message: string): Refusal {
  return { code: 400, message: `unable to upgrade: ${message}` };
}

/** 403 with the names we speak: older kubectl looks for them and falls back. */
export function noCommonProtocol(offered: readonly string[], spoken: readonly string[]): Refusal {
  return {
    code: 403,
    message: `unable to upgrade: client offers ${offered.length} protocols, server speaks ${spoken.join(", ")}`,
    headers: spoken.map((name) => `X-Accepted-Stream-Protocol-Versions: ${name}`),
  };
}

/** Node merges or drops repeated headers; only the raw list shows them. */
function countOf(req: IncomingMessage, name: string): number {
  let count = 0;
  for (let index = 0; index < req.rawHeaders.length; index += 2) {
    if (req.rawHeaders[index]?.toLowerCase() === name) count += 1;
  }
  return count;
}

/** Repeated lines have been joined with commas. */
function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

const refusalLingerMs = 1_000;

/** Answers, then closes: nothing that follows on this connection is read as a request. */
export function refuse(socket: Duplex, refusal: Refusal): void {
  const body = `${refusal.message}\n`;
  const lines = [
    `HTTP/1.1 ${refusal.code} ${reasons[refusal.code] ?? "Error"}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(refusal.headers ?? []),
  ];
  socket.on("error", () => undefined);
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
  // Reading on keeps the kernel from answering unread bytes with a reset that overtakes the text.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), refusalLingerMs);
  socket.once("close", () => clearTimeout(timer));
}

/** The 101 of a SPDY upgrade. */
export function acceptSpdy(socket: Duplex, protocol: string): void {
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "Connection: Upgrade",
    "Upgrade: SPDY/3.1",
    `X-Stream-Protocol-Version: ${protocol}`,
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
}
