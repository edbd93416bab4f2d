/** Why a Docker request failed, below HTTP or by its status. */
export type EngineFailure =
  /** The engine answered with an error status. */
  | "status"
  /** No engine there: connect refused, socket missing, reset, body cut off. */
  | "unreachable"
  /** Our own time budget ran out. */
  | "timeout"
  /** The request was never sent: too many of its kind were at the engine for too long. */
  | "busy"
  /** The caller's signal aborted the request. */
  | "aborted"
  /** The engine answered, but not with what its API promises (HTML, broken JSON). */
  | "protocol";

/** A failed Docker request, as it came. What a status means for a call is decided in src/rpc. */
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

const withoutAnswer: ReadonlySet<EngineFailure> = new Set([
  "unreachable",
  "timeout",
  "busy",
  "aborted",
]);

/**
 * True when the engine has not answered: the request may have had its effect all the same (lost
 * answer, timeout), and nothing is known of its object.
 */
export function isUncertain(error: unknown): error is EngineError {
  return error instanceof EngineError && withoutAnswer.has(error.failure);
}
