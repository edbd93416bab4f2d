import { AsyncLocalStorage } from "node:async_hooks";

/** One effect that a CRI call became: a Docker request, a plugin or helper process, or a wait. */
export interface TraceStep {
  kind: "docker" | "cni" | "process" | "wait";
  /** What was done, without secrets: "POST /containers/create", "cni bridge ADD". */
  name: string;
  /** HTTP status or exit code; undefined where neither applies. */
  status?: number;
  /** Milliseconds since the call began, and how long the step took. */
  startMs: number;
  durationMs: number;
}

/** What is known of one CRI call while it runs and, once `durationMs` is set, afterwards. */
export interface CallTrace {
  rpc: string;
  /** Pod, container or image that the call is about, as far as the request says. */
  subject: string;
  startedAtMs: number;
  durationMs?: number;
  code?: string;
  steps: TraceStep[];
  /** W3C traceparent that the caller sent, to be passed on to the engine. */
  traceparent?: string;
}

const storage = new AsyncLocalStorage<CallTrace>();

/** Runs `work` so that every step below it, at any depth, is recorded on `trace`. */
export function withCallTrace<T>(trace: CallTrace, work: () => T): T {
  return storage.run(trace, work);
}

/** The CRI call that the current code works for; undefined in background work. */
export function currentCall(): CallTrace | undefined {
  return storage.getStore();
}

/** Background work started inside a call must not be counted as the call's: it runs outside of it. */
export function outsideCall<T>(work: () => T): T {
  return storage.exit(work);
}

/** Starts a step of the current call; the returned function ends it. Free outside of a call. */
export function beginStep(kind: TraceStep["kind"], name: string): (status?: number) => void {
  const call = storage.getStore();
  if (call === undefined) return () => undefined;
  const startMs = performance.now() - call.startedAtMs;
  return (status) => {
    // A step that outlives its call (a pull abandoned by its caller) still belongs to the record.
    call.steps.push({
      kind,
      name,
      startMs,
      durationMs: performance.now() - call.startedAtMs - startMs,
      ...(status === undefined ? {} : { status }),
    });
  };
}
