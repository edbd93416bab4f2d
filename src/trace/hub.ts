/*
 * src/trace: what calls become: events, the trace socket and file, the waterfall, spans for
 * OpenTelemetry.
 * Not here: contents of requests and answers: names, ids, times and codes only.
 */
import { outsideCall } from "../sys/call-trace.ts";
import type { CallTarget, CallTrace, TraceStep } from "../sys/call-trace.ts";
import { callEvent, stepEvent } from "./event.ts";
import type { TraceEvent } from "./event.ts";

/** A finished call, or a step that outlived its call, on its way to whoever listens. */
export interface Told {
  readonly call: CallTrace;
  /** Set for a late step. */
  readonly step?: TraceStep;
  /** Created at the first use and shared by all listeners. */
  readonly event: () => TraceEvent;
  readonly line: () => string;
}

export interface TraceSink {
  take(told: Told): void;
}

/** More finished calls than this between two turns of the event loop are not reported. */
const maxQueued = 4096;

/**
 * Where calls are reported: knows the calls under way, and passes the finished ones to its sinks (the
 * trace socket's listeners, the trace file, the exporter). Without a sink a call costs it one entry in
 * a set. Events are made and written after the reply, in a turn of their own: no call waits for it.
 */
export class TraceHub {
  readonly #running = new Set<CallTrace>();
  readonly #sinks = new Set<TraceSink>();
  readonly #name: (target: CallTarget) => void;
  #queue: Told[] = [];
  #scheduled = false;
  #ids = 0;
  #leftOut = 0;

  /** @param name adds to a target what its ids stand for; told of only what somebody listens to */
  constructor(name: (target: CallTarget) => void = () => undefined) {
    this.#name = name;
  }

  get running(): ReadonlySet<CallTrace> {
    return this.#running;
  }

  /** Calls and late steps that were too many at once to be reported. */
  get leftOut(): number {
    return this.#leftOut;
  }

  /** Returns the function that takes it off again. */
  add(sink: TraceSink): () => void {
    this.#sinks.add(sink);
    return () => this.#sinks.delete(sink);
  }

  begin(call: CallTrace): void {
    this.#ids += 1;
    call.id = this.#ids;
    this.#running.add(call);
    // Names are looked up at the start: when a removal is over, its target has none.
    if (this.#sinks.size > 0) this.name(call);
  }

  /** The call has its `code` and `durationMs`. */
  end(call: CallTrace): void {
    this.#running.delete(call);
    if (this.#sinks.size > 0) this.#tell(call);
  }

  /** Names the pod and container of a call that was begun while nobody listened. */
  name(call: CallTrace): void {
    if (call.target !== undefined) this.#name(call.target);
  }

  #tell(call: CallTrace, step?: TraceStep): void {
    if (this.#queue.length >= maxQueued) {
      this.#leftOut += 1;
      return;
    }
    if (step === undefined) this.name(call);
    this.#queue.push(toldOf(call, step));
    if (this.#scheduled) return;
    this.#scheduled = true;
    outsideCall(() => setImmediate(() => this.#flush()));
  }

  #flush(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    for (const told of queue) {
      const { call } = told;
      if (told.step === undefined) {
        // What is open now is reported when it ends.
        const open = new Set(call.steps.filter(({ durationMs }) => durationMs === undefined));
        told.event();
        call.onLateStep = (step) => {
          if (open.delete(step) || step.startMs > (call.durationMs ?? 0)) this.#late(call, step);
        };
      }
      for (const sink of this.#sinks) sink.take(told);
    }
  }

  #late(call: CallTrace, step: TraceStep): void {
    if (this.#sinks.size > 0) this.#tell(call, step);
  }
}

function toldOf(call: CallTrace, step: TraceStep | undefined): Told {
  let event: TraceEvent | undefined;
  let line: string | undefined;
  const made = (): TraceEvent =>
    (event ??= step === undefined ? callEvent(call) : stepEvent(call, step));
  return {
    call,
    ...(step === undefined ? {} : { step }),
    event: made,
    line: () => (line ??= `${JSON.stringify(made())}\n`),
  };
}
