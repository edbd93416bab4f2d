import type { LoadedConfig } from "../config/load.ts";
import { problemsOf } from "../config/errors.ts";
import type { Config, OptionKey } from "../config/options.ts";
import { errorText } from "../errors.ts";
import type { LogFormat, LogLevel, ProcessLogger } from "../log.ts";

/** Options that are taken over while Dockline runs. */
const live: readonly OptionKey[] = ["logLevel", "logFormat"];

/**
 * Reads the configuration again and takes over what can be changed without a restart: level and form of
 * the log. A wrong configuration changes nothing; what needs a restart is named. Never throws.
 *
 * @param running what was in force when Dockline started
 */
export function reload(running: Config, reread: () => LoadedConfig, log: ProcessLogger): void {
  log.info({}, "reading the configuration again");
  let config: Config;
  try {
    ({ config } = reread());
  } catch (error) {
    const problems = problemsOf(error) ?? [errorText(error)];
    log.error({ problems }, "the configuration is wrong, so nothing is changed");
    return;
  }
  const { logLevel, logFormat } = config;
  log.configure(logOptions(config));
  const restart = (Object.keys(config) as OptionKey[]).filter(
    (key) => !live.includes(key) && JSON.stringify(config[key]) !== JSON.stringify(running[key]),
  );
  log.info({ logLevel, logFormat }, "the log is written as the configuration says");
  if (restart.length > 0) {
    log.warn({ options: restart }, "these options have changed and need a restart of dockline");
  }
}

export function logOptions(config: Pick<Config, "logLevel" | "logFormat">): {
  level: LogLevel;
  format: LogFormat;
} {
  return { level: config.logLevel as LogLevel, format: config.logFormat as LogFormat };
}
