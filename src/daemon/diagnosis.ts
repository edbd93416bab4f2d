import type { Config } from "../config/options.ts";
import type { CallListener } from "../cri/observe.ts";
import type { Logger } from "../log.ts";
import { EventLoopWatch } from "./metrics/event-loop-delay.ts";
import { serveMetrics } from "./metrics/server.ts";
import type { MetricsTls } from "./metrics/server.ts";
import { createMetrics } from "./metrics/registry.ts";
import type { EventLoopDelay, Metrics, MetricsSources } from "./metrics/sources.ts";
import type { PullState } from "../images/pull.ts";
import type { Parts } from "./parts.ts";
import { forkCount } from "../sys/process.ts";
import { version } from "../version.ts";

/** What others count. */
export type Counts = Pick<MetricsSources, "callsInFlight" | "tracing">;

export interface Diagnosis {
  onCall: CallListener;
  serve(): Promise<void>;
  close(): Promise<void>;
}

/** Dockline's own metrics; nothing is counted where nobody can ask. */
export function createDiagnosis(
  config: Config,
  parts: Parts,
  log: Logger,
  counts: Counts,
): Diagnosis {
  if (config.metricsBindAddr === "") {
    const nothing = (): Promise<void> => Promise.resolve();
    return { onCall: () => undefined, serve: nothing, close: nothing };
  }
  const eventLoop = new EventLoopWatch();
  const metrics = metricsOf(parts, counts, () => eventLoop.read());
  parts.requestListeners.add(metrics.onRequest);
  let server: { close(): Promise<void> } | undefined;
  return {
    onCall: metrics.onCall,
    serve: async () => {
      server = await serveMetrics({
        address: config.metricsBindAddr,
        tls: tlsOf(config),
        metrics,
        health: () => parts.index.health,
        log,
      });
    },
    close: async () => {
      parts.requestListeners.delete(metrics.onRequest);
      eventLoop.close();
      await server?.close();
    },
  };
}

/** Undefined where none of the three is set; the server refuses those that are incomplete. */
function tlsOf(config: Config): MetricsTls | undefined {
  const { metricsTlsCert, metricsTlsKey, metricsClientCa } = config;
  if (metricsTlsCert === "" && metricsTlsKey === "" && metricsClientCa === "") return undefined;
  return { certFile: metricsTlsCert, keyFile: metricsTlsKey, clientCaFile: metricsClientCa };
}

function metricsOf(parts: Parts, counts: Counts, eventLoop: () => EventLoopDelay): Metrics {
  return createMetrics({
    build: () => {
      const self = parts.info.peek();
      return {
        version,
        node: process.version,
        engine: self?.version.Version ?? "",
        api: self === undefined ? "" : `1.${self.apiMinor}`,
      };
    },
    index: () => ({ ...parts.index.health, ...parts.index.counters }),
    pulls: () => {
      const running = parts.puller.running();
      const sum = (of: (pull: PullState) => number): number =>
        running.reduce((total, pull) => total + of(pull), 0);
      return {
        count: running.length,
        downloadedBytes: sum(({ downloadedBytes }) => downloadedBytes),
        totalBytes: sum(({ totalBytes }) => totalBytes),
        layersDone: sum(({ layersDone }) => layersDone),
        layersTotal: sum(({ layersTotal }) => layersTotal),
        oldestMs: Math.max(0, ...running.map(({ ageMs }) => ageMs)),
      };
    },
    logs: () => parts.logs.lag(),
    eventLoop,
    streams: () => parts.streaming.sessions(),
    givenUp: () => parts.givenUp.count,
    nri: () => ({ connected: parts.hooks.connected, asked: parts.hooks.counts.all }),
    ...counts,
    forks: forkCount,
  });
}
