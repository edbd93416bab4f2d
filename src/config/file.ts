import { existsSync, readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { CriError, errorText } from "../errors.ts";

/** Where the package puts it; read by every command that is not given another with --config. */
export const defaultConfigFile = "/etc/dockline/config.yaml";

export interface ConfigFile {
  /** Undefined when there is none. */
  path: string | undefined;
  values: Record<string, unknown>;
}

/**
 * Reads the YAML or JSON file of `--config`, else the default one where it exists. An empty name
 * means none. Throws InvalidArgument with the file's name.
 */
export function readConfigFile(
  given: string | undefined,
  defaultPath = defaultConfigFile,
): ConfigFile {
  const path = given ?? (existsSync(defaultPath) ? defaultPath : "");
  if (path === "") return { path: undefined, values: {} };
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(path, "utf8"));
  } catch (error) {
    throw bad(`${path}: ${errorText(error).trim()}`, error);
  }
  if (parsed === null || parsed === undefined) return { path, values: {} };
  if (typeof parsed !== "object" || Array.isArray(parsed))
    throw bad(`${path}: want keys and values`);
  return { path, values: { ...parsed } };
}

const bad = (message: string, cause?: unknown): CriError =>
  new CriError("InvalidArgument", message, { cause });
