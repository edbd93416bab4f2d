import { CriError } from "../errors.ts";
import { acceptedFlags, options, refusedFlags } from "./options.ts";
import type { Config, Option, OptionKey } from "./options.ts";

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
  environment?: Record<string, string | undefined>;
  flags?: Record<string, string>;
}

export const flagName = (key: OptionKey): string =>
  key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export const environmentName = (key: OptionKey): string =>
  `DOCKLINE_${flagName(key).replaceAll("-", "_").toUpperCase()}`;

/**
 * Merges defaults, file, environment and flags, the later winning. Unknown keys and flags are errors
 * that name the nearest known one; so are values of the wrong form. Throws InvalidArgument.
 */
export function loadConfig(sources: Sources): LoadedConfig {
  const { filePath = "the configuration file" } = sources;
  const texts = new Map<OptionKey, { text: string; source: Source }>();
  for (const key of keys) texts.set(key, { text: table[key].default, source: "default" });
  for (const [name, value] of Object.entries(sources.file ?? {})) {
    texts.set(knownKey(name, filePath), { text: textOf(name, value, filePath), source: "file" });
  }
  for (const key of keys) {
    const text = sources.environment?.[environmentName(key)];
    if (text !== undefined) texts.set(key, { text, source: "environment" });
  }
  refuseMistypedVariables(sources.environment ?? {});
  for (const [flag, text] of Object.entries(sources.flags ?? {})) {
    const key = keyOfFlag(flag);
    if (key !== undefined) texts.set(key, { text, source: "flag" });
  }
  const config: Record<string, unknown> = {};
  const from: Record<string, Source> = {};
  for (const [key, { text, source }] of texts) {
    const where = {
      default: key,
      file: `${filePath}: ${key}`,
      environment: environmentName(key),
      flag: `--${flagName(key)}`,
    };
    config[key] = parseValue(key, spellingsOf(key).get(text) ?? text, where[source]);
    from[key] = source;
  }
  return {
    config: Object.freeze(config) as Config,
    sources: from,
  };
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

/** Whether a flag stands alone (`--shim-per-container`) or wants a value. */
export function isSwitch(flag: string): boolean {
  if (Object.hasOwn(acceptedFlags, flag)) return true;
  const key = keys.find((candidate) => flagName(candidate) === flag);
  return key !== undefined && table[key].type === "boolean";
}

export function isList(flag: string): boolean {
  const key = keys.find((candidate) => flagName(candidate) === flag);
  return key !== undefined && table[key].type === "list";
}

/**
 * Only near misses: Kubernetes gives every pod beside a Service named "dockline" variables that begin
 * like ours.
 */
function refuseMistypedVariables(environment: Record<string, string | undefined>): void {
  const known = keys.map(environmentName);
  for (const name of Object.keys(environment)) {
    if (!name.startsWith("DOCKLINE_") || known.includes(name)) continue;
    const meant = known.find((candidate) => editDistance(name, candidate) <= 2);
    if (meant !== undefined) throw bad(`unknown variable ${name}; did you mean ${meant}?`);
  }
}

function spellingsOf(key: OptionKey): Map<string, string> {
  return new Map(Object.entries(table[key].spellings ?? {}));
}

function knownKey(name: string, filePath: string): OptionKey {
  const found = keys.find((key) => key === name);
  if (found === undefined) {
    throw bad(`${filePath}: unknown key ${JSON.stringify(name)}${nearest(name, keys, "")}`);
  }
  return found;
}

function textOf(name: string, value: unknown, filePath: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return value.join(",");
  }
  throw bad(`${filePath}: ${name} must be text, a number, true/false or a list of texts`);
}

/** `where` is what the operator wrote it to: a flag, a variable, a key of the file. */
function parseValue(key: OptionKey, text: string, where: string): unknown {
  const option = table[key];
  switch (option.type) {
    case "string":
      if (key === "networkPlugin" && text !== "cni") {
        throw bad(
          `${where}=${text}: only cni is supported; install a CNI configuration in --cni-conf-dir (kubenet: use the bridge plugin with host-local and --pod-cidr)`,
        );
      }
      if (option.choices !== undefined && !option.choices.includes(text)) {
        throw bad(`${where}=${text}: want one of ${option.choices.join(", ")}`);
      }
      return text;
    case "boolean":
      if (text !== "true" && text !== "false") throw bad(`${where}=${text}: want true or false`);
      return text === "true";
    case "integer":
      if (!/^\d{1,9}$/.test(text)) throw bad(`${where}=${text}: want a whole number`);
      return Number(text);
    case "duration":
      return parseDurationMs(where, text);
    case "list": {
      const items = text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "");
      if (key === "absentMountSourcesToReject" && !items.every((item) => item.startsWith("/"))) {
        throw bad(`${where}=${text}: want absolute paths`);
      }
      return items;
    }
  }
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's duration form ("1m30s", "500ms"; a bare 0), as cri-dockerd's flags take it. */
export function parseDurationMs(where: string, text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text) {
    throw bad(`${where}=${text}: want a duration such as 90s or 1m30s`);
  }
  return parts.reduce((sum, part) => sum + Number(part[1]) * (unitMs[part[2] ?? ""] ?? 0), 0);
}

/** The same the other way round, for `dockline config`. */
export function durationText(ms: number): string {
  if (ms === 0) return "0s";
  const units = Object.entries(unitMs).reverse();
  const [unit, size] = units.find(([, candidate]) => ms % candidate === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}

function nearest(name: string, known: readonly string[], prefix: string): string {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return ranked !== undefined && ranked.distance <= Math.max(3, name.length / 3)
    ? `; did you mean ${prefix}${ranked.candidate}?`
    : "";
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

const bad = (message: string): CriError => new CriError("InvalidArgument", message);
