import { errorText } from "../errors.ts";
import { EngineError } from "./errors.ts";
import { oneLine } from "./error-text.ts";

/** Whatever a request failed with, as the one error that leaves this folder. */
export function toEngineError(error: unknown, operation: string): EngineError {
  if (error instanceof EngineError) return error;
  if (isDefect(error)) {
    // Ours, and no sign of an engine that is away.
    const message = `${operation}: ${oneLine(errorText(error))}`;
    return new EngineError({ failure: "protocol", operation, message }, { cause: error });
  }
  const text = oneLine(errorText(error));
  const message = `${operation}: no connection to docker: ${text}`;
  return new EngineError({ failure: "unreachable", operation, message }, { cause: error });
}

function isDefect(error: unknown): boolean {
  const defects = [TypeError, RangeError, SyntaxError, ReferenceError];
  return defects.some((defect) => error instanceof defect);
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
