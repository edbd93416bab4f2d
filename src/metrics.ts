import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

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
  logs: () => {
    containers: number;
    bytesBehind: number;
    lostBytes: bigint;
    pumpedBytes: bigint;
    unreadableLines: bigint;
  };
  /** CNI DELs that were given up. */
  givenUp?: () => number;
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

const callBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120,
];
/** Often enough to see a stall of a tenth of a second, seldom enough to cost nothing. */
const delaySampleMs = 50;

/** A registry of its own: nothing global, so that two daemons in one test process do not meet. */
export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const calls = new Histogram({
    name: "dockline_cri_request_duration_seconds",
    help: "CRI calls by method and gRPC code.",
    labelNames: ["method", "code"] as const,
    buckets: callBuckets,
    registers,
  });
  const requests = new Histogram({
    name: "dockline_docker_request_duration_seconds",
    help: "Requests to Docker Engine by endpoint and HTTP status; status 0 is no answer.",
    labelNames: ["method", "endpoint", "code"] as const,
    buckets: callBuckets,
    registers,
  });
  const plugins = new Histogram({
    name: "dockline_cni_duration_seconds",
    help: "CNI plugin runs by plugin, verb and exit code; code none is a plugin that was killed.",
    labelNames: ["plugin", "verb", "code"] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers,
  });
  registerBuild(sources, registers);
  registerReadings(sources, registers);
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: delaySampleMs });
  return {
    onCall: ({ rpc, code, durationMs, steps }) => {
      calls.observe({ method: rpc, code }, durationMs / 1000);
      for (const step of steps) {
        if (step.kind !== "cni" || step.durationMs === undefined) continue;
        const [plugin = "", verb = ""] = step.name.split(" ");
        const exit = step.status === undefined ? "none" : String(step.status);
        plugins.observe({ plugin, verb, code: exit }, step.durationMs / 1000);
      }
    },
    onRequest: ({ method, route, status, durationMs }) => {
      requests.observe({ method, endpoint: route, code: String(status) }, durationMs / 1000);
    },
    expose: async () => ({ type: registry.contentType, text: await registry.metrics() }),
  };
}

function registerBuild(sources: MetricsSources, registers: Registry[]): void {
  new Gauge({
    name: "dockline_build_info",
    help: "Always 1; its labels say what runs.",
    labelNames: ["version", "node", "engine", "api"] as const,
    registers,
    collect() {
      this.reset();
      this.set(sources.build(), 1);
    },
  });
}

function registerReadings(sources: MetricsSources, registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `dockline_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  const counter = (name: string, help: string, read: () => number): void => {
    new Counter({
      name: `dockline_${name}`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };
  const index = sources.index;
  gauge("engine_ready", "1 while Docker Engine answers.", () => Number(index().engineReady));
  gauge("index_synced", "1 while the index follows the engine's events.", () =>
    Number(index().synced),
  );
  gauge("index_age_seconds", "Since the engine's last answer.", () => index().ageMs / 1000);
  gauge("index_containers", "Containers in the index.", () => index().containers);
  gauge("index_inspects_in_flight", "Inspects under way.", () => index().inspectsInFlight);
  gauge("index_inspects_stuck", "Inspects past their budget.", () => index().inspectsStuck);
  counter("index_events_total", "Events heard from the engine.", () => index().events);
  counter("index_inspects_total", "Inspects of the index's own.", () => index().inspects);
  counter("index_lists_total", "Reconcile lists.", () => index().lists);
  counter("index_repairs_total", "Lists that found what no event had told.", () => index().repairs);
  counter(
    "index_resyncs_total",
    "Times that the event stream was restarted.",
    () => index().resyncs,
  );
  gauge("pulls_in_progress", "Image pulls under way.", () => sources.pulls().count);
  gauge(
    "pulls_downloaded_bytes",
    "Bytes that pulls under way have downloaded.",
    () => sources.pulls().downloadedBytes,
  );
  gauge(
    "pulls_total_bytes",
    "Bytes that pulls under way have to download, as far as known.",
    () => sources.pulls().totalBytes,
  );
  gauge("pulls_layers", "Layers of pulls under way.", () => sources.pulls().layersTotal);
  gauge("pulls_layers_done", "Those in place.", () => sources.pulls().layersDone);
  gauge(
    "pulls_oldest_seconds",
    "Age of the oldest pull under way.",
    () => sources.pulls().oldestMs / 1000,
  );
  const tracing = sources.tracing;
  gauge("trace_listeners", "Connections to the trace socket.", () => tracing().listeners);
  counter(
    "trace_dropped_total",
    "Trace events that a listener was too slow for.",
    () => tracing().dropped,
  );
  counter(
    "otel_spans_exported_total",
    "Spans that the collector has taken.",
    () => tracing().spansExported,
  );
  counter(
    "otel_spans_dropped_total",
    "Spans lost: the collector was away, or too slow.",
    () => tracing().spansDropped,
  );
  const logs = sources.logs;
  gauge("log_containers", "Containers whose log is followed.", () => logs().containers);
  gauge("log_lag_bytes", "Bytes of Docker's logs not in a CRI log yet.", () => logs().bytesBehind);
  counter("log_lost_bytes_total", "Bytes that were rotated away unread.", () =>
    Number(logs().lostBytes),
  );
  counter("log_written_bytes_total", "Bytes written to CRI logs.", () =>
    Number(logs().pumpedBytes),
  );
  counter("log_unreadable_lines_total", "Lines of Docker's logs that were none.", () =>
    Number(logs().unreadableLines),
  );
  gauge("streams", "Open exec, attach and port-forward sessions.", sources.streams);
  gauge("cri_requests_in_flight", "CRI calls under way.", sources.callsInFlight);
  counter(
    "cni_given_up_total",
    "CNI DELs that could not work any more and were given up; the doctor names the addresses.",
    () => sources.givenUp?.() ?? 0,
  );
  counter("forks_total", "Processes started: plugins and helpers.", sources.forks);
}
