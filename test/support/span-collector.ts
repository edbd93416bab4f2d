import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** A span as OTLP's JSON has it, as far as tests look at it. */
export interface WireSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Record<string, unknown> }[];
  status: { code?: number };
}

export interface SpanCollector {
  readonly url: string;
  /** What it answers; 200. */
  status: number;
  /** Paths and bodies of the requests so far. */
  readonly requests: { path: string; body: string }[];
  spans(): WireSpan[];
  close(): Promise<void>;
}

/** A collector of OpenTelemetry (OTLP over HTTP, JSON) on loopback. */
export async function startSpanCollector(): Promise<SpanCollector> {
  const requests: SpanCollector["requests"] = [];
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      requests.push({ path: request.url ?? "", body });
      response.writeHead(collector.status, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const collector: SpanCollector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    status: 200,
    requests,
    spans: () => requests.flatMap(({ body }) => spansIn(body)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return collector;
}

export function attributeOf(span: WireSpan | undefined, key: string): unknown {
  return Object.values(span?.attributes.find((entry) => entry.key === key)?.value ?? {})[0];
}

function spansIn(body: string): WireSpan[] {
  const { resourceSpans } = JSON.parse(body) as {
    resourceSpans: { scopeSpans: { spans: WireSpan[] }[] }[];
  };
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8") as AsyncIterable<string>) text += chunk;
  return text;
}
