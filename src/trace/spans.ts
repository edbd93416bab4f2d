import { SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import type { CallTrace, TraceStep } from "../sys/call-trace.ts";
import { newSpanId } from "../sys/trace-context.ts";

/** What the exporter takes. */
export type Span = Parameters<OTLPTraceExporter["export"]>[0][number];
export type SpanResource = Span["resource"];

type Attributes = Record<string, string | number>;

/** gRPC's codes by number. */
const codes = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];
/** Those that are a server's failure and not its caller's, by OpenTelemetry's convention. */
const serverFailures = new Set([
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
]);

/** The spans of a call that has ended: its own, and one for each step that has ended, too. */
export function spansOfCall(call: CallTrace, resource: SpanResource): Span[] {
  const { span, code = "" } = call;
  if (span === undefined) return [];
  const { traceId, spanId, parentSpanId } = span;
  const own = spanOf(call, resource, {
    name: `${call.service ?? ""}/${call.rpc}`,
    kind: SpanKind.SERVER,
    spanId,
    parent:
      parentSpanId === undefined ? undefined : { traceId, spanId: parentSpanId, remote: true },
    startMs: 0,
    durationMs: call.durationMs ?? 0,
    failed: serverFailures.has(code),
    attributes: {
      "rpc.system": "grpc",
      "rpc.service": call.service ?? "",
      "rpc.method": call.rpc,
      "rpc.grpc.status_code": codes.indexOf(code),
      ...targetAttributes(call),
    },
  });
  return [own, ...call.steps.flatMap((step) => spanOfStep(call, step, resource))];
}

/** Nothing for a step that still runs: it is reported when it ends. */
export function spanOfStep(call: CallTrace, step: TraceStep, resource: SpanResource): Span[] {
  const { span } = call;
  if (span === undefined || step.durationMs === undefined) return [];
  step.spanId ??= newSpanId();
  return [
    spanOf(call, resource, {
      name: step.kind === "docker" ? step.name : `${step.kind} ${step.name}`,
      kind: step.kind === "docker" ? SpanKind.CLIENT : SpanKind.INTERNAL,
      spanId: step.spanId,
      parent: { traceId: span.traceId, spanId: span.spanId, remote: false },
      startMs: step.startMs,
      durationMs: step.durationMs,
      failed: stepFailed(step),
      attributes: stepAttributes(step),
    }),
  ];
}

function spanOf(
  call: CallTrace,
  resource: SpanResource,
  facts: {
    name: string;
    kind: SpanKind;
    spanId: string;
    parent: { traceId: string; spanId: string; remote: boolean } | undefined;
    startMs: number;
    durationMs: number;
    failed: boolean;
    attributes: Attributes;
  },
): Span {
  const { name, kind, spanId, parent, durationMs, attributes } = facts;
  const startMs = (call.wallMs ?? 0) + facts.startMs;
  const traceId = call.span?.traceId ?? "";
  return {
    name,
    kind,
    spanContext: () => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED }),
    ...(parent === undefined
      ? {}
      : {
          parentSpanContext: {
            traceId: parent.traceId,
            spanId: parent.spanId,
            traceFlags: TraceFlags.SAMPLED,
            isRemote: parent.remote,
          },
        }),
    startTime: hrTime(startMs),
    endTime: hrTime(startMs + durationMs),
    duration: hrTime(durationMs),
    ended: true,
    status: { code: facts.failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
    attributes,
    links: [],
    events: [],
    resource,
    instrumentationScope: { name: "dockline" },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function targetAttributes({ target = {} }: CallTrace): Attributes {
  const named: Record<string, string | undefined> = {
    "k8s.namespace.name": target.namespace,
    "k8s.pod.name": target.podName,
    "k8s.container.name": target.containerName,
    "container.id": target.containerId,
    "dockline.pod_sandbox_id": target.podId,
    "container.image.name": target.image,
  };
  const known = Object.entries(named).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return Object.fromEntries(known);
}

function stepAttributes({ kind, name, status }: TraceStep): Attributes {
  const [first = "", rest = ""] = splitOnce(name);
  switch (kind) {
    case "docker":
      return {
        "http.request.method": first,
        "url.template": rest,
        ...(status === undefined ? {} : { "http.response.status_code": status }),
      };
    case "cni":
      return { "dockline.cni.plugin": first, "dockline.cni.verb": rest, ...exitCode(status) };
    case "process":
      return { "process.executable.name": name, ...exitCode(status) };
    case "wait":
      return {};
  }
}

const exitCode = (status: number | undefined): Attributes =>
  status === undefined ? {} : { "process.exit.code": status };

/** A step without a status got no answer, or its process was killed. */
function stepFailed({ kind, status }: TraceStep): boolean {
  if (kind === "wait") return false;
  return kind === "docker" ? (status ?? 500) >= 400 : status !== 0;
}

function splitOnce(text: string): string[] {
  const at = text.indexOf(" ");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
