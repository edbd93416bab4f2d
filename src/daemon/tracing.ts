import { join } from "node:path";
import type { Config } from "../config/options.ts";
import type { CallTeller } from "../cri/observe.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { TracingCounts } from "./metrics/sources.ts";
import { nameTarget } from "./log-names.ts";
import type { Parts } from "./parts.ts";
import { createTraceFile } from "../trace/file.ts";
import { TraceHub } from "../trace/hub.ts";
import type { SpanExport } from "../trace/otel.ts";
import { serveTrace } from "../trace/server.ts";
import type { TraceServer } from "../trace/server.ts";

export interface Tracing {
  teller: CallTeller;
  counts: () => TracingCounts;
  /** Goes on in a new trace file, for whoever renames it to keep it small. */
  reopenFile(): void;
  close(): Promise<void>;
}

/** Beside the other sockets; `dockline trace` looks there. */
const socketName = "trace.sock";

/**
 * The trace socket, the trace file and the export of spans, over one hub. Diagnosis that cannot be
 * had is said in the log and costs no pod: only a configuration that is wrong is an error.
 */
export async function createTracing(config: Config, parts: Parts, log: Logger): Promise<Tracing> {
  const hub = new TraceHub((target) => nameTarget(parts.index, target));
  const closers: (() => Promise<void>)[] = [];
  const file = config.traceFile === "" ? undefined : createTraceFile(config.traceFile, log);
  if (file !== undefined) {
    hub.add(file.sink);
    closers.push(() => file.close());
  }
  let spans: SpanExport | undefined;
  if (config.otelEndpoint !== "") {
    // Loaded by those who export only.
    const { createSpanExport } = await import("../trace/otel.ts");
    spans = createSpanExport({
      endpoint: config.otelEndpoint,
      samplingPerMillion: config.otelSamplingPerMillion,
      log,
    });
    hub.add(spans.sink);
    const exporting = spans;
    closers.push(() => exporting.close());
  }
  let server: TraceServer | undefined;
  const path = join(config.runDir, socketName);
  try {
    const serving = await serveTrace({ path, hub, pulls: () => parts.puller.running(), log });
    server = serving;
    closers.push(() => serving.close());
  } catch (error) {
    log.warn({ path, error: errorText(error) }, "no trace socket");
  }
  return {
    teller: {
      begin: (call) => {
        spans?.begin(call);
        hub.begin(call);
      },
      end: (call) => hub.end(call),
    },
    counts: () => ({
      listeners: server?.listeners() ?? 0,
      dropped: hub.leftOut + (server?.dropped() ?? 0),
      spansExported: spans?.exported() ?? 0,
      spansDropped: spans?.dropped() ?? 0,
    }),
    reopenFile: () => file?.reopen(),
    close: async () => {
      for (const close of closers.reverse()) await close();
    },
  };
}
