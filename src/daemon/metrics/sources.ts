import type { LogLag } from "../../logs/container-logs.ts";

/** One CRI call that has ended, with the plugins it ran. */
export interface CallSample {
  rpc: string;
  code: string;
  durationMs: number;
  steps: readonly { kind: string; name: string; status?: number; durationMs?: number }[];
}

/** One request to the engine that has ended. */
export interface EngineSample {
  method: string;
  route: string;
  /** HTTP status; 0 when none came. */
  status: number;
  durationMs: number;
}

/** Listeners of the trace socket, events that they missed, and spans on their way to a collector. */
export interface TracingCounts {
  listeners: number;
  dropped: number;
  spansExported: number;
  spansDropped: number;
}

/** How long work waited for the event loop since it was read last, in seconds. */
export interface EventLoopDelay {
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** What one NRI plugin was asked of one event, and how that ended. */
export interface NriAsked {
  readonly plugin: string;
  readonly operation: string;
  readonly status: string;
  readonly count: number;
  readonly seconds: number;
}

/** Where the figures that are read on demand come from; all of it from memory. */
export interface MetricsSources {
  build: () => { version: string; node: string; engine: string; api: string };
  index: () => {
    engineReady: boolean;
    synced: boolean;
    ageMs: number;
    containers: number;
    inspectsInFlight: number;
    inspectsStuck: number;
    events: number;
    inspects: number;
    lists: number;
    repairs: number;
    resyncs: number;
  };
  pulls: () => {
    count: number;
    downloadedBytes: number;
    totalBytes: number;
    layersDone: number;
    layersTotal: number;
    oldestMs: number;
  };
  tracing: () => TracingCounts;
  logs: () => LogLag;
  /** CNI DELs that were given up. */
  givenUp?: () => number;
  nri?: () => { connected: number; asked: readonly NriAsked[] };
  /** Starts over with each call. */
  eventLoop: () => EventLoopDelay;
  streams: () => number;
  callsInFlight: () => number;
  forks: () => number;
}

export interface Metrics {
  /** A CRI call ended. */
  onCall: (call: CallSample) => void;
  /** A request to the engine ended. */
  onRequest: (request: EngineSample) => void;
  /** The exposition text, and its content type. */
  expose: () => Promise<{ type: string; text: string }>;
}
