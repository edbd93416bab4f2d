/** What went wrong, in the CRI's terms; `cri/status.ts` turns each kind into one gRPC code. */
export type ErrorKind =
  | "NotFound"
  | "InvalidArgument"
  | "AlreadyExists"
  | "FailedPrecondition"
  | "PermissionDenied"
  | "Unavailable"
  | "DeadlineExceeded"
  | "Cancelled"
  | "ResourceExhausted"
  | "Unimplemented"
  | "Unknown"
  | "Internal";

/**
 * The error that a CRI caller is meant to read. Messages are lower case and say the action, the
 * object and the cause on one line; they never hold credentials or environment values.
 */
export class CriError extends Error {
  override readonly name = "CriError";
  readonly kind: ErrorKind;
  constructor(kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

export const notFound = (message: string): CriError => new CriError("NotFound", message);
export const invalidArgument = (message: string): CriError =>
  new CriError("InvalidArgument", message);

/** The text of anything that was thrown, on one line. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ").trim();
}
