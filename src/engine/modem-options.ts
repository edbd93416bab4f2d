import type { Readable } from "node:stream";
import type { EngineCall } from "./call.ts";

/** What dockerode hands to its modem, as far as it is read here. */
export interface DialOptions {
  /** Ends in "?" where dockerode expects a query string. */
  path: string;
  method: string;
  /** Only these two keys: dockerode copies its own switches (hijack, stdin) in beside them. */
  options?: { _query?: Record<string, unknown>; _body?: unknown } | null;
  authconfig?: object;
  isStream?: boolean;
  hijack?: boolean;
  file?: Readable;
}

/** A request before the API version is put in front of its path. */
export interface PreparedRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | Readable | undefined;
  answer: "json" | "stream" | "hijack";
}

/** Turns dockerode's request into ours. Nothing is taken from the environment. */
export function toWire(dial: DialOptions, call: EngineCall): PreparedRequest {
  const query = queryString({ ...call.query, ...dial.options?._query });
  const path = `${dial.path.endsWith("?") ? dial.path.slice(0, -1) : dial.path}${query}`;
  const headers: Record<string, string> = { "User-Agent": "dockline", Host: "docker" };
  let body: string | Readable | undefined;
  if (dial.file !== undefined) {
    body = dial.file;
    headers["Content-Type"] = "application/x-tar";
    headers["Transfer-Encoding"] = "chunked";
  } else if (dial.options?._body !== undefined) {
    body = JSON.stringify(dial.options._body);
    headers["Content-Type"] = "application/json";
    headers["Content-Length"] = String(Buffer.byteLength(body));
  } else if (dial.method === "POST") {
    headers["Content-Length"] = "0";
  }
  if (dial.authconfig !== undefined) {
    // The URL alphabet, and padded: Go's decoder takes nothing else.
    const plain = Buffer.from(JSON.stringify(dial.authconfig)).toString("base64");
    headers["X-Registry-Auth"] = plain.replaceAll("+", "-").replaceAll("/", "_");
  }
  if (dial.hijack === true) {
    headers["Connection"] = "Upgrade";
    headers["Upgrade"] = "tcp";
  }
  const answer = dial.hijack === true ? "hijack" : dial.isStream === true ? "stream" : "json";
  return { method: dial.method, path, headers, body, answer };
}

/** Docker's query values: booleans are 1 and 0, bytes are themselves, objects (filters) are JSON. */
function queryString(values: Record<string, unknown>): string {
  const query = new URLSearchParams();
  const bytes: string[] = [];
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) continue;
    if (value instanceof Uint8Array) bytes.push(`${key}=${percentEncoded(value)}`);
    else if (typeof value === "boolean") query.set(key, value ? "1" : "0");
    else query.set(key, typeof value === "string" ? value : JSON.stringify(value));
  }
  const text = [query.toString(), ...bytes].filter((part) => part !== "").join("&");
  return text === "" ? "" : `?${text}`;
}

/** URLSearchParams knows only text. */
function percentEncoded(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}
