import { status as GrpcCode } from "@grpc/grpc-js";
import { CriError, errorText } from "../errors.ts";
import type { ErrorKind } from "../errors.ts";

const codeOfKind: Record<ErrorKind, GrpcCode> = {
  NotFound: GrpcCode.NOT_FOUND,
  InvalidArgument: GrpcCode.INVALID_ARGUMENT,
  AlreadyExists: GrpcCode.ALREADY_EXISTS,
  FailedPrecondition: GrpcCode.FAILED_PRECONDITION,
  PermissionDenied: GrpcCode.PERMISSION_DENIED,
  Unavailable: GrpcCode.UNAVAILABLE,
  DeadlineExceeded: GrpcCode.DEADLINE_EXCEEDED,
  Cancelled: GrpcCode.CANCELLED,
  ResourceExhausted: GrpcCode.RESOURCE_EXHAUSTED,
  Unimplemented: GrpcCode.UNIMPLEMENTED,
  // PullImage failures: the kubelet strips "rpc error: …" only from UNKNOWN before it compares.
  Unknown: GrpcCode.UNKNOWN,
  Internal: GrpcCode.INTERNAL,
};

/** No room on a disk, no descriptor, no process (a fork's EAGAIN), no memory: all may pass. */
const exhausted = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EAGAIN", "ENOMEM"]);

/** The kind of anything thrown by a handler; engine failures by HTTP status. */
export function kindOf(error: unknown): ErrorKind {
  if (error instanceof CriError) return error.kind;
  if (isEngineShaped(error)) return kindOfEngine(error);
  return exhausted.has(errnoOf(error) ?? "") ? "ResourceExhausted" : "Internal";
}

/**
 * The one place where an error becomes what a gRPC caller sees. Details stay under 4 KiB. What was not
 * written for the caller (a file that could not be read) begins with the RPC, so that it says what failed.
 */
export function toStatusObject(error: unknown, rpc: string): { code: GrpcCode; details: string } {
  const written = error instanceof CriError || isEngineShaped(error);
  const details = written ? errorText(error) : `${rpc}: ${errorText(error)}`;
  return {
    code: codeOfKind[kindOf(error)],
    // Half a surrogate pair, of a cut or from outside, could not be sent at all.
    details: (details.length > 4096 ? `${details.slice(0, 4093)}...` : details).replace(
      /\p{Cs}/gu,
      "\ufffd",
    ),
  };
}

/** The name of the code as logs and metrics show it. */
export function codeName(error: unknown): string {
  return GrpcCode[codeOfKind[kindOf(error)]];
}

/** Recognised by shape: this folder knows nothing of Docker's client. */
interface EngineShaped {
  name: "EngineError";
  failure: string;
  status: number;
}

function isEngineShaped(error: unknown): error is EngineShaped {
  return error instanceof Error && error.name === "EngineError" && "failure" in error;
}

function kindOfEngine(error: EngineShaped): ErrorKind {
  switch (error.failure) {
    // A slow engine is one that is not available. DEADLINE_EXCEEDED has a meaning of its own: the
    // kubelet counts it as a command that ran too long, and counts the probe as failed.
    case "unreachable":
    case "timeout":
    case "busy":
      return "Unavailable";
    case "aborted":
      return "Cancelled";
    case "status":
      return kindOfHttp(error.status);
    default:
      return "Internal";
  }
}

function kindOfHttp(status: number): ErrorKind {
  if (status === 400) return "InvalidArgument";
  if (status === 401 || status === 403) return "PermissionDenied";
  if (status === 404) return "NotFound";
  if (status === 409) return "FailedPrecondition";
  if (status === 501) return "Unimplemented";
  if (status === 503) return "Unavailable";
  return "Internal";
}

/** The error's own, or that of what it came from: a plugin that could not be started. */
function errnoOf(error: unknown): string | undefined {
  let at = error as { code?: unknown; cause?: unknown } | null | undefined;
  for (let depth = 0; depth < 5 && at !== null && at !== undefined; depth += 1) {
    if (typeof at.code === "string") return at.code;
    at = at.cause as typeof at;
  }
  return undefined;
}
