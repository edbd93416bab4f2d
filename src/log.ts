import { pino } from "pino";
import { LogSink } from "./sys/log-sink.ts";

/** The five methods that the parts of Dockline log through; `msg` is a constant phrase. */
export interface Logger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
  child(fields: Record<string, unknown>): Logger;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface ProcessLogger extends Logger {
  /** False for a log that is silent. */
  readonly speaks: boolean;
  /** True when every line is written; false when nobody has read them after `limitMs`. */
  written(limitMs: number): Promise<boolean>;
}

/** JSON lines on stdout (or another descriptor). Never waits for whoever reads them. */
export function createLogger(options: { level: LogLevel; descriptor?: number }): ProcessLogger {
  const sink = new LogSink(options.descriptor ?? 1, lossLine);
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
  return Object.assign(logger, {
    speaks: options.level !== "silent",
    written: (limitMs: number) => sink.drained(limitMs),
  });
}

function lossLine(lines: number): string {
  const msg = "log lines were dropped because nobody read the log";
  return `${JSON.stringify({ level: "warn", time: new Date().toISOString(), lines, msg })}\n`;
}

/** For tests and for parts built without a daemon around them. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};
