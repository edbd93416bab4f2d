import { EngineError } from "../../src/engine/errors.ts";

/** An error answer as the engine gives it. */
export function refuse(status: number, operation: string, message: string): EngineError {
  return new EngineError({
    failure: "status",
    status,
    operation,
    message: `${operation}: ${message}`,
  });
}

/** A connection that broke, before or after the engine acted. */
export function lost(operation: string): EngineError {
  const message = `${operation}: no connection to docker: socket hang up`;
  return new EngineError({ failure: "unreachable", operation, message });
}
