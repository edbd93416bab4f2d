/** Why a Docker request failed, below HTTP or by its status. */
export type EngineFailure =
  /** The engine answered with an error status. */
  | "status"
  /** No engine there: connect refused, socket missing, reset, body cut off. */
  | "unreachable"
  /** Our own time budget ran out. */
  | "timeout"
  /** The caller's signal aborted the request. */
  | "aborted"
  /** The engine answered, but not with what its API promises (HTML, broken JSON). */
  | "protocol";

/** A failed Docker request. The rpc files say what a status *means* there; this only says what came. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly failure: EngineFailure;
  /** HTTP status; 0 unless `failure` is "status". */
  readonly status: number;
  /** The request in our words: "create container", without ids or secrets. */
  readonly operation: string;
  constructor(
    fields: { failure: EngineFailure; status?: number; operation: string; message: string },
    options?: { cause?: unknown },
  ) {
    super(fields.message, options);
    this.failure = fields.failure;
    this.status = fields.status ?? 0;
    this.operation = fields.operation;
  }
}

/** True when the engine answered with exactly this HTTP status. */
export function isStatus(error: unknown, status: number): error is EngineError {
  return error instanceof EngineError && error.failure === "status" && error.status === status;
}

/** True when the request may have had its effect although no answer came (lost answer, timeout). */
export function isUncertain(error: unknown): error is EngineError {
  return (
    error instanceof EngineError &&
    (error.failure === "unreachable" || error.failure === "timeout" || error.failure === "aborted")
  );
}
