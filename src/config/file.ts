import { existsSync, readFileSync } from "node:fs";
import { isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { errorText } from "../errors.ts";
import { ConfigError } from "./errors.ts";

/** Where the package puts it; read by every command that is not given another with --config. */
export const defaultConfigFile = "/etc/dockline/config.yaml";

export interface ConfigFile {
  /** Undefined when there is none. */
  path: string | undefined;
  values: Record<string, unknown>;
  /** The line of a key, from 1. */
  readonly lineOf: (key: string) => number | undefined;
}

/**
 * Reads the YAML or JSON file of `--config`, else the default one where it exists. An empty name
 * means none. Throws ConfigError with the file's name, and the line of each place that is no YAML.
 */
export function readConfigFile(
  given: string | undefined,
  defaultPath = defaultConfigFile,
): ConfigFile {
  const path = given ?? (existsSync(defaultPath) ? defaultPath : "");
  if (path === "") return { path: undefined, values: {}, lineOf: () => undefined };
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([`${path}: ${errorText(error)}`], error);
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map(
        ({ pos, message }) => `${path}:${lineCounter.linePos(pos[0]).line}: ${message}`,
      ),
    );
  }
  let parsed: unknown;
  try {
    parsed = document.toJS();
  } catch (error) {
    throw new ConfigError([`${path}: ${errorText(error)}`], error);
  }
  const lines = new Map<string, number>();
  if (isMap(document.contents)) {
    for (const { key } of document.contents.items) {
      if (!isScalar(key) || !Array.isArray(key.range)) continue;
      lines.set(String(key.value), lineCounter.linePos(key.range[0]).line);
    }
  }
  const lineOf = (key: string): number | undefined => lines.get(key);
  if (parsed === null || parsed === undefined) return { path, values: {}, lineOf };
  if (typeof parsed !== "object" || Array.isArray(parsed))
    throw new ConfigError([`${path}: want keys and values, such as logLevel: info`]);
  return { path, values: { ...parsed }, lineOf };
}
