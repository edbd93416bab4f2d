/*
 * src/config: the options: one table, and how flags, environment and file become values.
 * Not here: effects of an option. Checks of values that need other folders are in src/daemon/option-
 * checks.ts.
 */
import { CriError } from "../errors.ts";
import { collected, ConfigError } from "./errors.ts";
import { editDistance, nearest } from "./nearest.ts";
import { acceptedFlags, options, refusedFlags } from "./options.ts";
import type { Config, Option, OptionKey } from "./options.ts";
import { parseValue } from "./values.ts";

export { durationText, parseDurationMs } from "./values.ts";

const table: Record<OptionKey, Option> = options;
const keys = Object.keys(options) as OptionKey[];

/** Where a value came from, for `dockline config` and for error messages. */
export type Source = "default" | "file" | "environment" | "flag";

export interface LoadedConfig {
  config: Config;
  sources: Record<OptionKey, Source>;
}

/** The values that were given, in text form, weakest source first. */
export interface Sources {
  /** Parsed configuration file: keys of the table with text, numbers, booleans or lists. */
  file?: Record<string, unknown>;
  /** How that file is called in errors; default "the configuration file". */
  filePath?: string | undefined;
  /** The line of a key in that file, from 1, where it is known. */
  lineOf?: (key: string) => number | undefined;
  environment?: Record<string, string | undefined>;
  flags?: Record<string, string>;
  /** What is known to be wrong already, of the command line or the file. */
  problems?: readonly string[];
}

/** Finds what is wrong with a value beyond its form; it throws InvalidArgument, or returns what it wants. */
export type Checks = { readonly [K in OptionKey]?: (value: Config[K]) => unknown };

/** What only several options together can say: the option to be named, and what is wrong. */
export type CheckTogether = (config: Config) => readonly { key: OptionKey; trouble: string }[];

export const flagName = (key: OptionKey): string =>
  key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export const environmentName = (key: OptionKey): string =>
  `DOCKLINE_${flagName(key).replaceAll("-", "_").toUpperCase()}`;

/**
 * Merges defaults, file, environment and flags, the later winning. Unknown keys and flags are errors
 * that name the nearest known one; so are values of the wrong form, and what `checks` find. Throws
 * ConfigError with all of them.
 */
export function loadConfig(
  sources: Sources,
  checks: Checks = {},
  together: CheckTogether = () => [],
): LoadedConfig {
  const problems = [...(sources.problems ?? [])];
  const given = textsOf(sources, problems);
  const config: Record<string, unknown> = {};
  const from: Record<string, Source> = {};
  const troubled = new Set<OptionKey>();
  const tell = (key: OptionKey, why: string): void => {
    troubled.add(key);
    problems.push(why);
  };
  for (const [key, { text, source }] of given) {
    const where = placeOf(key, source, sources);
    const like = example(key, source);
    from[key] = source;
    const value = settled(() =>
      parseValue(key, table[key], spellingsOf(key).get(text) ?? text, where),
    );
    if (value.trouble !== undefined) {
      tell(key, `${value.trouble}${like}`);
      continue;
    }
    config[key] = value.value;
    const check = checks[key] as ((value: unknown) => unknown) | undefined;
    const checked = settled(() => check?.(value.value));
    const trouble = checked.trouble ?? (checked.value as string | undefined);
    if (trouble !== undefined) tell(key, `${where}=${shown(text)}: ${trouble}${like}`);
  }
  // What several options say together is only looked at where each of them is right alone.
  if (troubled.size === 0) {
    for (const { key, trouble } of together(config as Config)) {
      const source = from[key] ?? "default";
      tell(key, `${placeOf(key, source, sources)}: ${trouble}${example(key, source)}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { config: Object.freeze(config) as Config, sources: from };
}

type Given = Map<OptionKey, { text: string; source: Source }>;

/** The winning text of each option; unknown names go to `problems`. */
function textsOf(sources: Sources, problems: string[]): Given {
  const texts: Given = new Map();
  for (const key of keys) texts.set(key, { text: table[key].default, source: "default" });
  for (const [name, value] of Object.entries(sources.file ?? {})) {
    collected(problems, () => {
      const place = filePlace(name, sources);
      texts.set(knownKey(name, place), { text: textOf(name, value, place), source: "file" });
    });
  }
  for (const key of keys) {
    const text = sources.environment?.[environmentName(key)];
    if (text !== undefined) texts.set(key, { text, source: "environment" });
  }
  problems.push(...mistypedVariables(sources.environment ?? {}));
  for (const [flag, text] of Object.entries(sources.flags ?? {})) {
    collected(problems, () => {
      const key = keyOfFlag(flag);
      if (key !== undefined) texts.set(key, { text, source: "flag" });
    });
  }
  return texts;
}

/** What the operator wrote a value to. */
function placeOf(key: OptionKey, source: Source, sources: Sources): string {
  if (source === "file") return `${filePlace(key, sources)}: ${key}`;
  if (source === "environment") return environmentName(key);
  return source === "flag" ? `--${flagName(key)}` : key;
}

function filePlace(key: string, { filePath = "the configuration file", lineOf }: Sources): string {
  const line = lineOf?.(key);
  return line === undefined ? filePath : `${filePath}:${line}`;
}

/** A right value in the form in which the wrong one was written. */
function example(key: OptionKey, source: Source): string {
  const text = table[key].example ?? table[key].default;
  const forms = {
    default: `--${flagName(key)}=${text}`,
    flag: `--${flagName(key)}=${text}`,
    environment: `${environmentName(key)}=${text}`,
    file: `${key}: ${text}`,
  };
  return ` (example: ${forms[source]})`;
}

/** A wrong value as an error shows it: credentials in a URL are nobody's business. */
const shown = (text: string): string =>
  text.replaceAll(/:\/\/[^/@]*@/g, "://***@").replace(/(:\/\/[^?]*\?).*/s, "$1***");

interface Settled {
  value?: unknown;
  trouble?: string;
}

function settled(work: () => unknown): Settled {
  const found: string[] = [];
  const value = collected(found, work);
  return found.length === 0 ? { value } : { trouble: found.join("; ") };
}

/** The table's key for a flag; undefined for a flag that is accepted without effect. */
export function keyOfFlag(flag: string): OptionKey | undefined {
  const found = keys.find((key) => flagName(key) === flag || table[key].alias === flag);
  if (found !== undefined) return found;
  if (Object.hasOwn(acceptedFlags, flag)) return undefined;
  const instead = Object.hasOwn(refusedFlags, flag) ? refusedFlags[flag] : undefined;
  if (instead !== undefined) throw bad(`--${flag} is not supported: ${instead}`);
  throw bad(`unknown flag --${flag}${nearest(flag, keys.map(flagName), "--")}`);
}

const hasType = (flag: string, type: Option["type"]): boolean =>
  keys.some((key) => flagName(key) === flag && table[key].type === type);

/** Whether a flag stands alone (`--shim-per-container`) or wants a value. */
export const isSwitch = (flag: string): boolean =>
  Object.hasOwn(acceptedFlags, flag) || hasType(flag, "boolean");

export const isList = (flag: string): boolean => hasType(flag, "list");

/**
 * Only near misses: Kubernetes gives every pod beside a Service named "dockline" variables that begin
 * like ours.
 */
function mistypedVariables(environment: Record<string, string | undefined>): string[] {
  const known = keys.map(environmentName);
  return Object.keys(environment).flatMap((name) => {
    if (!name.startsWith("DOCKLINE_") || known.includes(name)) return [];
    const meant = known.find((candidate) => editDistance(name, candidate) <= 2);
    return meant === undefined ? [] : [`unknown variable ${name}; did you mean ${meant}?`];
  });
}

function spellingsOf(key: OptionKey): Map<string, string> {
  return new Map(Object.entries(table[key].spellings ?? {}));
}

function knownKey(name: string, place: string): OptionKey {
  const found = keys.find((key) => key === name);
  if (found === undefined) {
    throw bad(`${place}: unknown key ${JSON.stringify(name)}${nearest(name, keys, "")}`);
  }
  return found;
}

function textOf(name: string, value: unknown, place: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return value.join(",");
  }
  throw bad(`${place}: ${name} must be text, a number, true/false or a list of texts`);
}

const bad = (message: string): CriError => new CriError("InvalidArgument", message);
