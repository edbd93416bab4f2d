import { AsyncLocalStorage } from "node:async_hooks";
import { formatTraceparent, isTracestate, newSpanId, parseTraceparent } from "./trace-context.ts";

/** One effect that a CRI call became: a Docker request, a plugin or helper process, or a wait. */
export interface TraceStep {
  kind: "docker" | "cni" | "process" | "wait";
  /** What was done, without secrets: "POST /containers/create", "bridge ADD", "lock sandbox". */
  name: string;
  /** HTTP status or exit code; undefined where neither applies. */
  status?: number;
  /** Milliseconds since the call began, and how long the step took; undefined while it runs. */
  startMs: number;
  durationMs?: number;
  /** Its span, once it was sent to somebody or exported. */
  spanId?: string;
}

/** Whom a call is about, as far as its request, its answer and the index say. */
export interface CallTarget {
  podName?: string;
  namespace?: string;
  podId?: string;
  containerName?: string;
  containerId?: string;
  image?: string;
}

/** The span that a call is exported as. */
export interface CallSpan {
  traceId: string;
  spanId: string;
  /** The caller's span. */
  parentSpanId?: string;
}

/** What is known of one CRI call while it runs and, once `durationMs` is set, afterwards. */
export interface CallTrace {
  rpc: string;
  /** performance.now(), and the wall clock at the same moment (ms since the epoch). */
  startedAtMs: number;
  wallMs?: number;
  durationMs?: number;
  code?: string;
  /** In the order of their start. */
  steps: TraceStep[];
  /** Steps beyond those kept. */
  stepsLeftOut?: number;
  /** "runtime.v1.RuntimeService". */
  service?: string;
  target?: CallTarget;
  /** Counts the calls of this process. */
  id?: number;
  /** W3C trace context that the caller sent, to be passed on to the engine. */
  traceparent?: string;
  tracestate?: string;
  /** Set when the call is exported. */
  span?: CallSpan;
  /** Gets steps that end after the call itself was reported. */
  onLateStep?: (step: TraceStep) => void;
}

/** A step under way. */
export interface OpenStep {
  end(status?: number): void;
  /** Headers that make the receiver's own spans join this step's, or else the call's. */
  traceHeaders(): Record<string, string>;
}

/** Work that a call left behind may go on for hours; its record must not grow with it. */
const maxSteps = 500;

const storage = new AsyncLocalStorage<CallTrace>();
const nobodysStep: OpenStep = { end: () => undefined, traceHeaders: () => ({}) };

/** Whom the current call is about; undefined outside of a call. */
export function currentTarget(): CallTarget | undefined {
  return storage.getStore()?.target;
}

/** Runs `work` so that every step below it, at any depth, is recorded on `trace`. */
export function withCallTrace<T>(trace: CallTrace, work: () => T): T {
  return storage.run(trace, work);
}

/** Background work started inside a call must not be counted as the call's: it runs outside of it. */
export function outsideCall<T>(work: () => T): T {
  return storage.exit(work);
}

/** Starts a step of the current call. Free outside of a call. */
export function beginStep(kind: TraceStep["kind"], name: string): OpenStep {
  const call = storage.getStore();
  if (call === undefined) return nobodysStep;
  const step: TraceStep = { kind, name, startMs: performance.now() - call.startedAtMs };
  if (call.steps.length < maxSteps) call.steps.push(step);
  else call.stepsLeftOut = (call.stepsLeftOut ?? 0) + 1;
  return {
    end: (status) => {
      if (step.durationMs !== undefined) return;
      step.durationMs = performance.now() - call.startedAtMs - step.startMs;
      if (status !== undefined) step.status = status;
      call.onLateStep?.(step);
    },
    traceHeaders: () => traceHeaders(call, step),
  };
}

/** A wait of the current call: for a lock, a place in a queue, or the next attempt. */
export async function waiting<T>(name: string, work: () => Promise<T>): Promise<T> {
  const step = beginStep("wait", name);
  try {
    return await work();
  } finally {
    step.end();
  }
}

function traceHeaders(call: CallTrace, step: TraceStep): Record<string, string> {
  const context =
    call.span === undefined
      ? parseTraceparent(call.traceparent)
      : { traceId: call.span.traceId, spanId: (step.spanId ??= newSpanId()), sampled: true };
  if (context === undefined) return {};
  return {
    traceparent: formatTraceparent(context),
    ...(isTracestate(call.tracestate) ? { tracestate: call.tracestate } : {}),
  };
}
