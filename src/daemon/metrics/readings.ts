import { Counter, Gauge } from "prom-client";
import type { Registry } from "prom-client";
import type { MetricsSources } from "./sources.ts";

/** Versions of what runs, as labels. */
export function registerBuild(sources: MetricsSources, registers: Registry[]): void {
  new Gauge({
    name: "dockline_build_info",
    help: "Always 1; the labels are the versions of Dockline, Node.js, Docker Engine and its API.",
    labelNames: ["version", "node", "engine", "api"] as const,
    registers,
    collect() {
      this.reset();
      this.set(sources.build(), 1);
    },
  });
}

/** What is read when somebody asks. */
export function registerReadings(sources: MetricsSources, registers: Registry[]): void {
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
  gauge("engine_ready", "1 while Docker Engine answers, else 0.", () =>
    Number(index().engineReady),
  );
  gauge("index_synced", "1 while the index follows the events of Docker Engine, else 0.", () =>
    Number(index().synced),
  );
  gauge(
    "index_age_seconds",
    "Time since the last answer of Docker Engine.",
    () => index().ageMs / 1000,
  );
  gauge(
    "index_containers",
    "Containers in the index, pause containers among them.",
    () => index().containers,
  );
  gauge(
    "index_inspects_in_flight",
    "Inspects of containers that Docker has not answered yet.",
    () => index().inspectsInFlight,
  );
  gauge(
    "index_inspects_stuck",
    "Inspects that have run out of time without an answer.",
    () => index().inspectsStuck,
  );
  counter("index_events_total", "Events received from Docker Engine.", () => index().events);
  counter(
    "index_inspects_total",
    "Inspects made to keep the index up to date.",
    () => index().inspects,
  );
  counter("index_lists_total", "Container lists made to check the index.", () => index().lists);
  counter(
    "index_repairs_total",
    "Lists that found a change that no event had reported.",
    () => index().repairs,
  );
  counter(
    "index_resyncs_total",
    "Times that the event stream had to be opened again.",
    () => index().resyncs,
  );
  gauge("pulls_in_progress", "Image pulls that are running.", () => sources.pulls().count);
  gauge(
    "pulls_downloaded_bytes",
    "Bytes that the running pulls have downloaded.",
    () => sources.pulls().downloadedBytes,
  );
  gauge(
    "pulls_total_bytes",
    "Bytes that the running pulls have to download, as far as known.",
    () => sources.pulls().totalBytes,
  );
  gauge("pulls_layers", "Layers of the running pulls.", () => sources.pulls().layersTotal);
  gauge(
    "pulls_layers_done",
    "Layers of the running pulls that are complete.",
    () => sources.pulls().layersDone,
  );
  gauge(
    "pulls_oldest_seconds",
    "How long the oldest running pull has been running; 0 without one.",
    () => sources.pulls().oldestMs / 1000,
  );
  const tracing = sources.tracing;
  gauge("trace_listeners", "Readers connected to the trace socket.", () => tracing().listeners);
  counter(
    "trace_dropped_total",
    "Trace events dropped because a reader was too slow.",
    () => tracing().dropped,
  );
  counter(
    "otel_spans_exported_total",
    "Spans that the OpenTelemetry collector has accepted.",
    () => tracing().spansExported,
  );
  counter(
    "otel_spans_dropped_total",
    "Spans lost because the OpenTelemetry collector was away or too slow.",
    () => tracing().spansDropped,
  );
  const logs = sources.logs;
  gauge("log_containers", "Containers whose log is being written.", () => logs().containers);
  gauge(
    "log_hung_file_systems",
    "File systems of container logs that have not answered for 10 s.",
    () => logs().hung.length,
  );
  gauge(
    "log_lag_bytes",
    "Bytes of Docker's logs that are not in the CRI logs yet.",
    () => logs().bytesBehind,
  );
  counter("log_lost_bytes_total", "Bytes that Docker rotated away before they were read.", () =>
    Number(logs().lostBytes),
  );
  counter("log_written_bytes_total", "Bytes written to CRI logs.", () =>
    Number(logs().pumpedBytes),
  );
  counter("log_unreadable_lines_total", "Lines of Docker's logs that could not be parsed.", () =>
    Number(logs().unreadableLines),
  );
  gauge("streams", "Open exec, attach and port-forward sessions.", sources.streams);
  gauge("cri_requests_in_flight", "CRI calls that are running.", sources.callsInFlight);
  counter(
    "cni_given_up_total",
    "CNI DELs given up because they can no longer succeed; dockline doctor lists the addresses.",
    () => sources.givenUp?.() ?? 0,
  );
  counter("forks_total", "Processes started: CNI plugins and helper programs.", sources.forks);
}
