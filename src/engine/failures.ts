import { EngineError } from "./errors.ts";
import { oneLine } from "./error-text.ts";

/** Whatever a request failed with, as the one error that leaves this folder. */
export function toEngineError(error: unknown, operation: string): EngineError {
  if (error instanceof EngineError) return error;
  const text = oneLine(error instanceof Error ? error.message : String(error));
  const message = `${operation}: no connection to docker: ${text}`;
  return new EngineError({ failure: "unreachable", operation, message }, { cause: error });
}

/** The negotiation's failure as the failure of the request that needed it. */
export function inTheNameOf(operation: string, error: unknown): EngineError {
  const found = toEngineError(error, operation);
  if (found.operation === operation) return found;
  const prefix = `${found.operation}: `;
  const text = found.message.startsWith(prefix)
    ? found.message.slice(prefix.length)
    : found.message;
  const { failure, status } = found;
  const message = `${operation}: ${text}`;
  return new EngineError({ failure, status, operation, message }, { cause: found });
}

/** The engine answered, but not with what its API promises. */
export function protocolError(operation: string, what: string, cause?: unknown): EngineError {
  const message = `${operation}: unexpected answer from docker: ${what}`;
  return new EngineError({ failure: "protocol", operation, message }, { cause });
}
