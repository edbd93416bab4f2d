/**
 * How a session ended, as Kubernetes' metav1.Status: the last word on the error stream. Clients from
 * v4 on read it as JSON; older ones take any text there for a failure.
 */
export interface StreamStatus {
  status: "Success" | "Failure";
  message?: string;
  reason?: string;
  details?: { causes: { reason: string; message: string }[] };
  code?: number;
}

export const successStatus: StreamStatus = { status: "Success" };

/** client-go reads the exit code from the cause and refuses anything over 255. */
export function exitStatus(exitCode: number): StreamStatus {
  if (exitCode === 0) return successStatus;
  return {
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: "ExitCode", message: String(exitCode & 0xff) }] },
  };
}

export function failureStatus(message: string): StreamStatus {
  return {
    status: "Failure",
    reason: "InternalError",
    message: `Internal error occurred: ${message}`,
    code: 500,
  };
}

/** What goes over the error stream: empty for a success before v4. */
export function encodeStatus(status: StreamStatus, form: "json" | "text"): Buffer {
  if (form === "json") return Buffer.from(JSON.stringify(status));
  return Buffer.from(status.status === "Success" ? "" : (status.message ?? "failed"));
}
