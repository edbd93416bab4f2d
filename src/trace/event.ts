import type { CallTarget, CallTrace, TraceStep } from "../sys/call-trace.ts";

/**
 * What Dockline tells of its work: one JSON object per line on the trace socket, in trace files and
 * in recordings. Names, ids, routes, codes and times; never what a request or an answer held
 * (environment, credentials, annotations, commands, query strings, error texts).
 */
export type TraceEvent = CallEvent | RunningEvent | StepEvent | PullEvent | DroppedEvent;

/** Whom a call is about; a part that is not known is left out. */
export interface About {
  pod?: { namespace?: string; name?: string; id?: string };
  container?: { name?: string; id?: string };
  image?: string;
}

export interface CallHead extends About {
  /** ISO 8601: when the call began. */
  at: string;
  /** Counts the calls of one daemon; the same in all events of a call. */
  id: number;
  rpc: string;
  /** Of the caller or of the exported span: where to find the call in a tracing system. */
  traceId?: string;
}

export interface EventStep {
  kind: TraceStep["kind"];
  name: string;
  /** HTTP status or exit code. */
  status?: number;
  /** Milliseconds since the call began. */
  startMs: number;
  /** Left out while the step runs. */
  durationMs?: number;
}

/** A call that has ended. */
export interface CallEvent extends CallHead {
  type: "call";
  /** gRPC code by name. */
  code: string;
  durationMs: number;
  steps: EventStep[];
  /** Steps beyond those kept. */
  stepsLeftOut?: number;
}

/** A call that is still under way after `ageMs`. */
export interface RunningEvent extends CallHead {
  type: "running";
  ageMs: number;
  steps: EventStep[];
}

/** A step that ended after its call: work that the caller did not wait for. */
export interface StepEvent extends CallHead {
  type: "step";
  step: EventStep;
}

/** An image pull under way. */
export interface PullEvent {
  type: "pull";
  at: string;
  image: string;
  phase: string;
  ageMs: number;
  layersDone: number;
  layersTotal: number;
  downloadedBytes: number;
  totalBytes: number;
  /** Calls that wait for it. */
  callers: number;
}

/** The reader was too slow: so many events are missing before this one. */
export interface DroppedEvent {
  type: "dropped";
  at: string;
  count: number;
}

export function callEvent(call: CallTrace): CallEvent {
  return {
    type: "call",
    ...headOf(call),
    code: call.code ?? "",
    durationMs: rounded(call.durationMs ?? 0),
    steps: call.steps.map(eventStep),
    ...(call.stepsLeftOut === undefined ? {} : { stepsLeftOut: call.stepsLeftOut }),
  };
}

export function runningEvent(call: CallTrace, nowMs: number): RunningEvent {
  return {
    type: "running",
    ...headOf(call),
    ageMs: rounded(nowMs - call.startedAtMs),
    steps: call.steps.map(eventStep),
  };
}

export function stepEvent(call: CallTrace, step: TraceStep): StepEvent {
  return { type: "step", ...headOf(call), step: eventStep(step) };
}

function headOf(call: CallTrace): CallHead {
  const traceId = call.span?.traceId;
  return {
    at: new Date(call.wallMs ?? 0).toISOString(),
    id: call.id ?? 0,
    rpc: call.rpc,
    ...aboutOf(call.target ?? {}),
    ...(traceId === undefined ? {} : { traceId }),
  };
}

function aboutOf(target: CallTarget): About {
  const { namespace, podName, podId, containerName, containerId, image } = target;
  const pod = present({ namespace, name: podName, id: podId });
  const container = present({ name: containerName, id: containerId });
  return {
    ...(pod === undefined ? {} : { pod }),
    ...(container === undefined ? {} : { container }),
    ...(image === undefined ? {} : { image }),
  };
}

/** Without its undefined members; undefined when none is left. */
function present(fields: Record<string, string | undefined>): Record<string, string> | undefined {
  const entries = Object.entries(fields).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "",
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function eventStep({ kind, name, status, startMs, durationMs }: TraceStep): EventStep {
  return {
    kind,
    name,
    ...(status === undefined ? {} : { status }),
    startMs: rounded(startMs),
    ...(durationMs === undefined ? {} : { durationMs: rounded(durationMs) }),
  };
}

/** A hundredth of a millisecond is the finest that a reader can use. */
const rounded = (ms: number): number => Math.round(ms * 100) / 100;
