import { CriError, type ErrorKind } from "../errors.ts";
import type { LogLag, ResumedLog } from "./container-logs.ts";

/** What the thread of the logs is started with. */
export interface LogWorkerData {
  stateDir: string;
}

/** What is asked of it, by name, with what it answers. */
export interface LogCalls {
  start: { args: [ResumedLog]; result: undefined };
  drain: { args: [containerId: string, timeoutMs: number]; result: boolean };
  reopen: { args: [containerId: string]; result: undefined };
  remove: { args: [containerId: string]; result: undefined };
  /** `kept`: containers beside the targets whose positions stay. */
  resume: { args: [targets: ResumedLog[], kept: string[]]; result: undefined };
  adopt: { args: [ResumedLog[]]; result: undefined };
  close: { args: []; result: undefined };
}
export type LogMethod = keyof LogCalls;

export type ToLogWorker =
  | { call: number; method: LogMethod; args: unknown[] }
  /** Whether a folder answers that it asked for. */
  | { answers: number; error?: PlainError };

export type FromLogWorker =
  | { result: number; value?: unknown; error?: PlainError }
  | { asks: number; folder: string }
  | { lag: LogLag }
  | { level: "debug" | "info" | "warn" | "error"; fields: object; msg: string };

/** An error as it goes from one thread to another. */
export interface PlainError {
  kind: ErrorKind | undefined;
  message: string;
}

export function plain(error: unknown): PlainError {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: error instanceof CriError ? error.kind : undefined, message };
}

export function thrown({ kind, message }: PlainError): Error {
  return kind === undefined ? new Error(message) : new CriError(kind, message);
}
