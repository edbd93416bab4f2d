import type { EngineFailure } from "./errors.ts";

/**
 * Which queue a request waits in when the engine is slow. Lanes never wait for each other: hung
 * inspects must not delay lists, nor stops that wait out their grace period the reads.
 * "long" (hijacks, pulls, events, waits) has a socket of its own for each request and no cap;
 * "probe" is the ping, which must tell a frozen engine however full the others are.
 */
export type Lane = "inspect" | "read" | "write" | "long" | "probe";

/** One request to the engine, apart from its method, path and body. */
export interface EngineCall {
  /** In our words, without ids: "inspect container". */
  operation: string;
  lane: Lane;
  /** Milliseconds for the whole answer, for streams until their headers; undefined: no deadline. */
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
