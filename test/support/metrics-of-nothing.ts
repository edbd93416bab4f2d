import { createMetrics } from "../../src/daemon/metrics/registry.ts";
import type { Metrics, MetricsSources } from "../../src/daemon/metrics/sources.ts";

/** Metrics of a daemon that does nothing, with a figure of its own for each source. */
export function metricsOfNothing(changes: Partial<MetricsSources> = {}): Metrics {
  return createMetrics({
    build: () => ({ version: "1.2.3", node: "v24", engine: "29.0.0", api: "1.52" }),
    index: () => ({
      engineReady: true,
      synced: true,
      ageMs: 1500,
      containers: 7,
      inspectsInFlight: 0,
      inspectsStuck: 0,
      events: 12,
      inspects: 3,
      lists: 4,
      repairs: 1,
      resyncs: 2,
    }),
    pulls: () => ({
      count: 2,
      downloadedBytes: 99,
      totalBytes: 200,
      layersDone: 3,
      layersTotal: 8,
      oldestMs: 2500,
    }),
    nri: () => ({
      connected: 1,
      asked: [
        { plugin: "10-a", operation: "CreateContainer", status: "ok", count: 5, seconds: 0.5 },
      ],
    }),
    tracing: () => ({ listeners: 1, dropped: 13, spansExported: 21, spansDropped: 34 }),
    logs: () => ({
      containers: 5,
      bytesBehind: 10,
      lostBytes: 1n,
      pumpedBytes: 1000n,
      unreadableLines: 0n,
      hung: ["/logs"],
    }),
    eventLoop: () => ({ p50: 0.001, p90: 0.002, p99: 0.003, max: 0.25 }),
    streams: () => 1,
    callsInFlight: () => 4,
    forks: () => 6,
    ...changes,
  });
}

/** One call with a request and a plugin run, so that each metric has a sample. */
export function withOneCall(metrics: Metrics): Metrics {
  metrics.onCall({
    rpc: "RunPodSandbox",
    code: "OK",
    durationMs: 40,
    steps: [
      { kind: "docker", name: "POST /containers/create", status: 201, durationMs: 9 },
      { kind: "cni", name: "bridge ADD", status: 0, durationMs: 20 },
      { kind: "cni", name: "portmap ADD", durationMs: 20_000 },
    ],
  });
  metrics.onRequest({
    method: "GET",
    route: "/containers/{id}/json",
    status: 404,
    durationMs: 2,
  });
  return metrics;
}
