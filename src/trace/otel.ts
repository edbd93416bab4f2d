import { hostname } from "node:os";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { CallTrace } from "../sys/call-trace.ts";
import { newSpanId, newTraceId, parseTraceparent } from "../sys/trace-context.ts";
import { version } from "../version.ts";
import type { TraceSink } from "./hub.ts";
import { tracesUrl } from "./otel-url.ts";
import { spanOfStep, spansOfCall } from "./spans.ts";
import type { Span } from "./spans.ts";

export interface SpanExport {
  /** Decides whether a call is exported; its steps then carry spans of their own to the engine. */
  begin(call: CallTrace): void;
  sink: TraceSink;
  exported(): number;
  dropped(): number;
  /** Sends what waits, for a short while. */
  close(): Promise<void>;
}

const maxQueued = 2048;
const maxBatch = 512;
const batchMs = 1000;
/** For one batch with all its retries, which the end of the process waits for, too. */
const exportMs = 3000;
const closeMs = 2000;

/**
 * Spans by OTLP over HTTP. Calls are recorded anyway, so only the official exporter is used and not
 * the SDK around it: it takes finished spans. One batch is under way at a time; a collector that is
 * away costs the spans beyond the queue, which are counted, and a line in the log when it goes and
 * when it is back.
 */
export function createSpanExport(options: {
  endpoint: string;
  /** Of a million calls without a trace context of their caller's. */
  samplingPerMillion: number;
  log: Logger;
  random?: () => number;
}): SpanExport {
  const { log, samplingPerMillion, random = Math.random } = options;
  const url = tracesUrl(options.endpoint);
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: exportMs });
  const resource = resourceFromAttributes({
    "service.name": "dockline",
    "service.version": version,
    "host.name": hostname(),
  });
  const queue: Span[] = [];
  let exported = 0;
  let dropped = 0;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;

  const send = (batch: Span[]): Promise<void> =>
    new Promise((resolve) => {
      exporter.export(batch, ({ code, error }) => {
        // SUCCESS, of an enumeration that its package does not give out.
        const taken = code.valueOf() === 0;
        if (taken) exported += batch.length;
        else dropped += batch.length;
        if (failing === taken) {
          failing = !taken;
          // Its text may quote the collector's answer; a proxy's page is of no use in the journal.
          const reason = errorText(error ?? "").slice(0, 200);
          if (failing) log.warn({ url, error: reason }, "spans cannot be exported");
          else log.info({ url }, "spans are exported again");
        }
        resolve();
      });
    });
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    underWay ??= (async () => {
      while (queue.length > 0) await send(queue.splice(0, maxBatch));
    })().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
  const soon = (): void => {
    if (timer !== undefined || underWay !== undefined) return;
    timer = outsideCall(() => setTimeout(() => void flush(), batchMs));
    timer.unref();
  };

  return {
    begin: (call) => {
      const parent = parseTraceparent(call.traceparent);
      const wanted = parent?.sampled ?? random() * 1e6 < samplingPerMillion;
      if (!wanted) return;
      call.span = {
        traceId: parent?.traceId ?? newTraceId(),
        spanId: newSpanId(),
        ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
      };
    },
    sink: {
      take: ({ call, step }) => {
        const spans =
          step === undefined ? spansOfCall(call, resource) : spanOfStep(call, step, resource);
        if (spans.length === 0) return;
        const room = Math.max(0, maxQueued - queue.length);
        dropped += Math.max(0, spans.length - room);
        queue.push(...spans.slice(0, room));
        soon();
      },
    },
    exported: () => exported,
    dropped: () => dropped,
    close: async () => {
      let late: NodeJS.Timeout | undefined;
      const enough = new Promise<void>((resolve) => {
        late = setTimeout(resolve, closeMs);
      });
      await Promise.race([flush().then(() => exporter.shutdown()), enough]);
      clearTimeout(late);
    },
  };
}
