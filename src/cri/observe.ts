import { Encoded } from "./bind.ts";
import type { Observer, ObservedCall } from "./bind.ts";
import type { Logger } from "../log.ts";
import { codeName, kindOf } from "./status.ts";
import { addAnswer, targetOf } from "./target.ts";
import { withCallTrace } from "../sys/call-trace.ts";
import type { CallTarget, CallTrace } from "../sys/call-trace.ts";
import { errorText } from "../errors.ts";

/** What metrics and traces learn of a call when it has ended. */
export interface CallListener {
  (trace: CallTrace & { code: string; durationMs: number }): void;
}

/** Told of each call at its begin and its end, when `code` and `durationMs` are set. */
export interface CallTeller {
  begin(trace: CallTrace): void;
  end(trace: CallTrace): void;
}

/** RPCs that change something are worth a line each; the kubelet asks the others all the time. */
const changes =
  /^(Run|Stop|Remove|Create|Start|Update|Reopen|Pull|Checkpoint|Restore|Exec|Attach|PortForward)/;

/**
 * The one wrapper around every RPC: counts it, times it, gives it a trace that its Docker requests
 * and plugin calls are recorded on, and logs one line: info for changes, debug for reads, warn for
 * what the caller did wrong, error only for what we did.
 */
export function createObserver(options: {
  log: Logger & { readonly debugs?: boolean };
  /** Adds what is known of the ids of a target. */
  name?: (target: CallTarget) => void;
  onCall?: CallListener;
  trace?: CallTeller;
}): {
  observe: Observer;
  inFlight: () => number;
} {
  let running = 0;
  const observe: Observer = async (call, work) => {
    running += 1;
    const startedAtMs = performance.now();
    const trace = traceOf(call, startedAtMs);
    // Before the work: what it removes has no name afterwards.
    if (changes.test(call.rpc) && trace.target !== undefined) options.name?.(trace.target);
    options.trace?.begin(trace);
    let failure: { error: unknown } | undefined;
    try {
      const answer = await withCallTrace(trace, work);
      if (trace.target !== undefined) addAnswer(trace.target, messageOf(answer));
      return answer;
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      running -= 1;
      const durationMs = performance.now() - startedAtMs;
      const code = failure === undefined ? "OK" : codeName(failure.error);
      logCall(options, call, trace, durationMs, failure);
      const ended = Object.assign(trace, { code, durationMs });
      options.onCall?.(ended);
      options.trace?.end(ended);
    }
  };
  return { observe, inFlight: () => running };
}

function messageOf(answer: unknown): unknown {
  return answer instanceof Encoded ? answer.message : answer;
}

function traceOf({ rpc, service, request, context }: ObservedCall, startedAtMs: number): CallTrace {
  const traceparent = context.metadata("traceparent");
  const tracestate = traceparent === undefined ? undefined : context.metadata("tracestate");
  return {
    rpc,
    service,
    target: targetOf(request),
    startedAtMs,
    wallMs: Date.now(),
    steps: [],
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

function logCall(
  {
    log,
    name,
  }: { log: Logger & { readonly debugs?: boolean }; name?: (target: CallTarget) => void },
  { rpc }: ObservedCall,
  trace: CallTrace,
  durationMs: number,
  failure: { error: unknown } | undefined,
): void {
  const level = levelOf(rpc, failure?.error);
  if (level === "debug" && log.debugs === false) return;
  const target = trace.target ?? {};
  name?.(target);
  const fields = {
    rpc,
    ...lineNames(target),
    durMs: Math.round(durationMs * 10) / 10,
    docker: trace.steps.filter((step) => step.kind === "docker").length,
  };
  if (failure === undefined) {
    log[level](fields, "call");
    return;
  }
  const { error } = failure;
  const failed = { ...fields, code: codeName(error), error: errorText(error) };
  log[level](level === "error" ? { ...failed, err: error } : failed, "call failed");
}

/**
 * A kubelet asks once more after what it has just removed: that something is not there is no news, unless a change
 * was asked for. `undefined` is no error.
 */
function levelOf(rpc: string, error: unknown): "debug" | "info" | "warn" | "error" {
  const isChange = changes.test(rpc);
  if (error === undefined) return isChange ? "info" : "debug";
  const kind = kindOf(error);
  if (kind === "Internal") return "error";
  if (kind === "Unimplemented" || kind === "Cancelled") return "debug";
  return kind === "NotFound" && !isChange ? "debug" : "warn";
}

/** What lines of the log call those that a call or an id is about, so that one can search for a pod. */
export interface LineNames {
  pod?: string;
  namespace?: string;
  container?: string;
  podId?: string;
  containerId?: string;
  image?: string;
}

export function lineNames(target: CallTarget): LineNames {
  const names: Record<keyof LineNames, string | undefined> = {
    pod: target.podName,
    namespace: target.namespace,
    container: target.containerName,
    podId: target.podId,
    containerId: target.containerId,
    image: target.image,
  };
  return Object.fromEntries(Object.entries(names).filter(([, name]) => name !== undefined));
}
