import { randomBytes } from "node:crypto";

/** W3C trace context (https://www.w3.org/TR/trace-context/), as the kubelet sends it with a CRI call. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** The sender's span, 16 hexadecimal digits. */
  spanId: string;
  sampled: boolean;
}

const traceparentForm = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
/** Vendors' own list; printable ASCII, 512 characters are what everybody must be able to pass on. */
const tracestateForm = /^[\x20-\x7e]{1,512}$/;

/** undefined for anything that is not a valid traceparent: it is then as if none was sent. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const [, version, traceId = "", spanId = "", flags = "00"] =
    traceparentForm.exec(text ?? "") ?? [];
  if (version === undefined || version === "ff") return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

export function isTracestate(text: string | undefined): text is string {
  return text !== undefined && tracestateForm.test(text);
}

export const newTraceId = (): string => randomBytes(16).toString("hex");
export const newSpanId = (): string => randomBytes(8).toString("hex");
