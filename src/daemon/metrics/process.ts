import { Gauge, collectDefaultMetrics } from "prom-client";
import type { Registry } from "prom-client";
import type { EventLoopDelay, MetricsSources } from "./sources.ts";

/**
 * Defaults of prom-client that are left out. Its event-loop figures count the period of its sampling as delay, and are in
 * ours without it. The others are gauges with the suffix of a counter; the same figures by type are there beside them.
 */
const leftOut =
  /^nodejs_(?:eventloop_lag(?:_\w+)?_seconds|active_(?:handles|requests|resources)_total)$/;
/** Its sampling cannot be turned off: so seldom that it never comes. */
const neverMs = 2 ** 31 - 1;

/** prom-client's own metrics of the process, as far as they are right. */
export function registerDefaults(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: neverMs });
  for (const { name } of registry.getMetricsAsArray()) {
    if (leftOut.test(name)) registry.removeSingleMetric(name);
  }
}

/** Names as prom-client has them, which dashboards know. */
export function registerEventLoop(sources: MetricsSources, registers: Registry[]): void {
  const gauge = (part: keyof EventLoopDelay, what: string, collect: () => void): Gauge =>
    new Gauge({
      name: `nodejs_eventloop_lag_${part}_seconds`,
      help: `${what} of the event loop since the last scrape, without the sampling period.`,
      registers,
      collect,
    });
  // All four are of one reading, which the first of them takes.
  const take = (): void => {
    const delay = sources.eventLoop();
    for (const [part, metric] of metrics) metric.set(delay[part]);
  };
  const nothing = (): void => undefined;
  const metrics = [
    ["p50", gauge("p50", "Median delay", take)],
    ["p90", gauge("p90", "90th percentile of the delay", nothing)],
    ["p99", gauge("p99", "99th percentile of the delay", nothing)],
    ["max", gauge("max", "Longest delay", nothing)],
  ] as const;
}
