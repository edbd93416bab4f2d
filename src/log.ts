import { pino } from "pino";
import { LogSink } from "./sys/log-sink.ts";
import { textLine } from "./sys/log-text.ts";

/** The five methods that the parts of Dockline log through; `msg` is a constant phrase. */
export interface Logger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
  child(fields: Record<string, unknown>): Logger;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";
export type LogFormat = "json" | "text";

/** What else is known of the pod or container that a line is about, by the line's own fields. */
export type Names = (fields: object) => object;

export interface ProcessLogger extends Logger {
  /** False for a log that is silent. */
  readonly speaks: boolean;
  /** Whether debug lines are written, for those who would make their fields for nothing. */
  readonly debugs: boolean;
  /** From now on, for all children as well. */
  configure(options: { level: LogLevel; format: LogFormat }): void;
  /** Adds to each line what `names` knows of its fields; a line's own fields win. */
  nameBy(names: Names): void;
  /** True when every line is written; false when nobody has read them after `limitMs`. */
  written(limitMs: number): Promise<boolean>;
}

const weights: Record<LogLevel, number> = { debug: 20, info: 30, warn: 40, error: 50, silent: 99 };

interface Shared {
  lowest: number;
  format: LogFormat;
  names: Names;
}

/** Lines on stdout (or another descriptor), JSON unless text is asked for. Never waits for whoever reads them. */
export function createLogger(options: {
  level: LogLevel;
  format?: LogFormat;
  descriptor?: number;
}): ProcessLogger {
  const { level, format = "json", descriptor = 1 } = options;
  const shared: Shared = { lowest: weights[level], format, names: () => ({}) };
  const form = (line: string): string => (shared.format === "text" ? textLine(line) : line);
  const sink = new LogSink(descriptor, (lines) => form(lossLine(lines)));
  // The level is ours: a child of pino's keeps the one that its parent had when it was made.
  const lines = pino(
    {
      level: "debug",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => sink.write(form(line)) },
  );
  return Object.assign(gated(lines, shared), {
    configure: (to: { level: LogLevel; format: LogFormat }) => {
      shared.lowest = weights[to.level];
      shared.format = to.format;
    },
    nameBy: (names: Names) => {
      shared.names = names;
    },
    written: (limitMs: number) => sink.drained(limitMs),
  });
}

type Lines = Pick<Logger, "debug" | "info" | "warn" | "error"> & {
  child(fields: Record<string, unknown>): Lines;
};

function gated(lines: Lines, shared: Shared): Logger & Pick<ProcessLogger, "speaks" | "debugs"> {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (fields: object, msg: string): void => {
      if (weights[level] >= shared.lowest) {
        lines[level]({ ...shared.names(fields), ...fields }, msg);
      }
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => gated(lines.child(fields), shared),
    get debugs() {
      return shared.lowest <= weights.debug;
    },
    get speaks() {
      return shared.lowest < weights.silent;
    },
  };
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
