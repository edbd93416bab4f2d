import { constants } from "node:os";
import { getSystemErrorMessage } from "node:util";

const { errno } = constants;

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

/** The text of anything that was thrown, on one line; of a system call's failure what failed, then why. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? systemText(error) : String(error);
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ").trim();
}

/**
 * Node's "ENOENT: no such file or directory, open '/x'" and "connect ENOENT /x" as people read it: "open /x: no such
 * file or directory". A bare number or name of an error would be of no use to them.
 */
function systemText({ message }: Error): string {
  const file = /^E[A-Z0-9]+: (.*), (\w+)(?: ('.*'))?$/s.exec(message);
  if (file !== null) {
    const [, why = "", call = "", on = ""] = file;
    const paths = on.replace(/^'(.*)'$/s, "$1").replace("' -> '", " to ");
    return `${call}${paths === "" ? "" : ` ${paths}`}: ${why}`;
  }
  const call =
    /^((?:connect|read|write|send|bind|listen|spawn)(?: \S+)?) (E[A-Z0-9]+)( \S+)?$/.exec(message);
  const number = errno[(call?.[2] ?? "") as keyof typeof errno] as number | undefined;
  if (call === null || number === undefined) return message;
  return `${call[1] ?? ""}${call[3] ?? ""}: ${getSystemErrorMessage(-number)}`;
}
