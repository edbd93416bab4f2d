import { performance } from "node:perf_hooks";
import type { Logger } from "../log.ts";
import { beginStep } from "../sys/call-trace.ts";
import type { RequestInfo } from "./call.ts";
import { toEngineError } from "./failures.ts";
import type { PreparedRequest } from "./modem-options.ts";
import { routeOf } from "./route.ts";

/** A request as metrics and traces have it: `record` is called once, at its end; status 0 is no answer. */
export function beginRecord(
  { method, path }: Pick<PreparedRequest, "method" | "path">,
  options: { log: Logger; onRequest?: ((info: RequestInfo) => void) | undefined },
): { record: (status: number, error?: Error) => void; traceHeaders: Record<string, string> } {
  const route = routeOf(path);
  const step = beginStep("docker", `${method} ${route}`);
  const startedAtMs = performance.now();
  const record = (status: number, error?: Error): void => {
    step.end(status === 0 ? undefined : status);
    const failure = error === undefined ? {} : { failure: toEngineError(error, "").failure };
    const durationMs = performance.now() - startedAtMs;
    try {
      options.onRequest?.({ method, route, status, durationMs, ...failure });
    } catch (err) {
      options.log.error({ err }, "request observer failed");
    }
  };
  return { record, traceHeaders: step.traceHeaders() };
}
