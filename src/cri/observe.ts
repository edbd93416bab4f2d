import { Encoded } from "./bind.ts";
import type { Observer, ObservedCall } from "./bind.ts";
import type { Logger } from "../log.ts";
import { codeName, kindOf } from "./status.ts";
import { addAnswer, plainReference, targetOf } from "./target.ts";
import { withCallTrace } from "../sys/call-trace.ts";
import type { CallTrace } from "../sys/call-trace.ts";
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
  log: Logger;
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
      logCall(options.log, call, trace, durationMs, failure);
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
    subject: subjectOf(request),
    target: targetOf(request),
    startedAtMs,
    wallMs: Date.now(),
    steps: [],
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

function logCall(
  log: Logger,
  call: ObservedCall,
  trace: CallTrace,
  durationMs: number,
  failure: { error: unknown } | undefined,
): void {
  const fields = {
    rpc: call.rpc,
    subject: trace.subject,
    durMs: Math.round(durationMs * 10) / 10,
    docker: trace.steps.filter((step) => step.kind === "docker").length,
  };
  if (failure === undefined) {
    if (changes.test(call.rpc)) log.info(fields, "call");
    else log.debug(fields, "call");
    return;
  }
  const failed = { ...fields, code: codeName(failure.error), error: errorText(failure.error) };
  const kind = kindOf(failure.error);
  if (kind === "Internal") log.error({ ...failed, err: failure.error }, "call failed");
  else if (kind === "Unimplemented" || kind === "Cancelled") log.debug(failed, "call failed");
  else log.warn(failed, "call failed");
}

/** The pod, container or image that a request is about, for people; never credentials or commands. */
export function subjectOf(request: object): string {
  const fields = request as Record<string, unknown>;
  for (const key of ["containerId", "podSandboxId"]) {
    const value = fields[key];
    if (typeof value === "string" && value !== "") return value.slice(0, 12);
  }
  const config = fields["config"] as
    { metadata?: { name?: string; namespace?: string } } | undefined;
  if (config?.metadata?.name !== undefined) {
    const { name, namespace } = config.metadata;
    return namespace === undefined ? name : `${namespace}/${name}`;
  }
  const image = fields["image"] as { image?: string } | undefined;
  return plainReference(image?.image);
}
