import { Histogram, Registry } from "prom-client";
import { registerDefaults, registerEventLoop } from "./process.ts";
import { registerBuild, registerReadings } from "./readings.ts";

import { registerNri } from "./nri.ts";
import type { Metrics, MetricsSources } from "./sources.ts";

const callBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120,
];
/** A registry of its own: nothing global, so that two daemons in one test process do not meet. */
export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const calls = new Histogram({
    name: "dockline_cri_request_duration_seconds",
    help: "Duration of CRI calls by method and gRPC code.",
    labelNames: ["method", "code"] as const,
    buckets: callBuckets,
    registers,
  });
  const requests = new Histogram({
    name: "dockline_docker_request_duration_seconds",
    help: "Duration of requests to Docker Engine by endpoint and HTTP status; code 0: no answer.",
    labelNames: ["method", "endpoint", "code"] as const,
    buckets: callBuckets,
    registers,
  });
  const plugins = new Histogram({
    name: "dockline_cni_duration_seconds",
    help: "Duration of CNI plugin runs by plugin, verb and exit code; code none: it was killed.",
    labelNames: ["plugin", "verb", "code"] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers,
  });
  registerDefaults(registry);
  registerBuild(sources, registers);
  registerReadings(sources, registers);
  registerNri(sources, registers);
  registerEventLoop(sources, registers);
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
