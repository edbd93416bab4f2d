import { collected, ConfigError } from "./errors.ts";
import { flagName, isList, isSwitch, keyOfFlag } from "./load.ts";
import { options } from "./options.ts";
import type { Option, OptionKey } from "./options.ts";

/** Flags of the daemon's table, in text form; `--help` and `--config` beside them. */
export interface ParsedArguments {
  flags: Record<string, string>;
  configFile: string | undefined;
  help: boolean;
}

/** `--flag value`, `--flag=value` and `--switch`; throws ConfigError for anything else, by name. */
export function parseArguments(args: readonly string[]): ParsedArguments {
  const { problems, ...parsed } = readArguments(args);
  if (problems.length > 0) throw new ConfigError(problems);
  return parsed;
}

/** The same, with what is wrong beside what is right. */
export function readArguments(
  args: readonly string[],
): ParsedArguments & { problems: readonly string[] } {
  const problems: string[] = [];
  const parsed: ParsedArguments = { flags: {}, configFile: undefined, help: false };
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? "";
    if (argument === "--help" || argument === "-h") {
      parsed.help = true;
      continue;
    }
    if (!argument.startsWith("--")) {
      problems.push(`unexpected argument ${JSON.stringify(argument)}`);
      continue;
    }
    const [flag, given] = splitOnce(argument.slice(2));
    let known = flag === "config";
    if (!known) {
      collected(problems, () => {
        keyOfFlag(flag);
        known = true;
      });
    }
    let value = given;
    if (value === undefined && isSwitch(flag)) value = "true";
    // Whether a flag that nobody knows has a value can only be guessed.
    if (value === undefined && (known || args[at + 1]?.startsWith("-") === false)) {
      at += 1;
      value = args[at];
    }
    if (!known) continue;
    if (value === undefined) problems.push(`--${flag} needs a value`);
    else if (flag === "config") parsed.configFile = value;
    else parsed.flags[flag] = joined(flag, parsed.flags[flag], value);
  }
  return { ...parsed, problems };
}

/** The options of `dockline serve`, from the table, grouped, in 80 columns. */
export function optionsHelp(): string {
  const table: Record<OptionKey, Option> = options;
  const groups = new Map<string, string[]>();
  for (const key of Object.keys(options) as OptionKey[]) {
    const option = table[key];
    const shown = option.default === "" ? "" : ` (default ${option.default})`;
    const lines = [
      `  --${flagName(key)}`,
      ...wrap(`${option.help}${shown}`, 72).map((l) => `        ${l}`),
    ];
    groups.set(option.group, [...(groups.get(option.group) ?? []), ...lines]);
  }
  return [...groups].map(([group, lines]) => `${group}:\n${lines.join("\n")}`).join("\n\n");
}

/** A list may be given in several flags; of anything else the last one counts. */
function joined(flag: string, before: string | undefined, value: string): string {
  return before !== undefined && isList(flag) ? `${before},${value}` : value;
}

function splitOnce(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
