import { status as GrpcCode } from "@grpc/grpc-js";
import { errorText } from "../errors.ts";

/** What a rejected call carries, whichever copy of the library has made it. */
interface Failed {
  code: number;
  details: string;
}

function failureOf(error: unknown): Failed | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, details } = error as Partial<Failed>;
  return typeof code === "number" && typeof details === "string" ? { code, details } : undefined;
}

const hasCode = (error: unknown, code: GrpcCode): boolean => failureOf(error)?.code === code;

/** The server is not there, or Docker behind it is not. */
export const isUnavailable = (error: unknown): boolean => hasCode(error, GrpcCode.UNAVAILABLE);
export const isNotFound = (error: unknown): boolean => hasCode(error, GrpcCode.NOT_FOUND);
export const isTimeout = (error: unknown): boolean => hasCode(error, GrpcCode.DEADLINE_EXCEEDED);

/**
 * A failed call of ours as a person reads it: the server's own words, without the protocol's. Of a
 * server that cannot be reached, where it was looked for, and why it was not found there.
 */
export function callErrorText(error: unknown, endpoint: string): string {
  const failure = failureOf(error);
  if (failure === undefined) return errorText(error);
  const { code, details } = failure;
  const [, why] =
    /^No connection established\. Last error: (?:Error: )?(.*?)\.?(?: Resolution note:.*)?$/s.exec(
      details,
    ) ?? [];
  if (why !== undefined || details === "Connection dropped") {
    const reason = why === undefined ? "it has closed the connection" : errorText(new Error(why));
    return `no server answers at ${endpoint} (${reason}): does Dockline run, and may this user open its socket?`;
  }
  if (details !== "") return errorText(details);
  return `the server answers with ${GrpcCode[code] ?? `code ${code}`} and no reason`;
}
