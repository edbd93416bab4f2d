import type { EngineFailure } from "./errors.ts";

/**
 * How many requests of one purpose may be at the engine at once. Lanes never wait for each other, so
 * that requests that hang (starts on a dead network file system, inspects of a locked container)
 * delay only their own kind. The numbers bound the sockets that an engine without answers can hold.
 */
export const laneLimits = {
  kill: 256,
  start: 256,
  create: 256,
  /** Creates and resizes execs; a node of 500 containers may probe all of them at once. */
  exec: 256,
  /** Removes and updates. */
  change: 256,
  inspectContainer: 64,
  inspectExec: 256,
  image: 64,
  list: 64,
} as const;

/**
 * The lane of a request. Three have no limit and a socket of their own for each request: "stop"
 * (each waits for its container's grace period), "long" (hijacks, pulls, events) and "probe",
 * the ping, which must find out a frozen engine however full the others are.
 */
export type Lane = keyof typeof laneLimits | "stop" | "long" | "probe";

/** One request to the engine, apart from its method, path and body. */
export interface EngineCall {
  /** In our words, without ids: "inspect container". */
  operation: string;
  lane: Lane;
  /**
   * Milliseconds for the whole answer, for streams until their headers, counted from the moment the
   * request is sent; undefined: no deadline.
   */
  timeoutMs: number | undefined;
  signal: AbortSignal | undefined;
  /** For the routes to which dockerode gives no query string. */
  query?: Record<string, string>;
  /** Reads a JSON answer in place of JSON.parse. */
  parse?: (text: string) => unknown;
  /** For streams: the request counts as finished when its body is, not when the headers came. */
  recordBody?: boolean;
}

/** One finished request, for metrics. */
export interface RequestInfo {
  method: string;
  /** The path with ids and names replaced: "/containers/{id}/json". */
  route: string;
  /** HTTP status; 0 when none came. */
  status: number;
  durationMs: number;
  failure?: EngineFailure;
}
