import { durationText, environmentName, flagName } from "./load.ts";
import type { LoadedConfig } from "./load.ts";
import { acceptedFlags, options, refusedFlags } from "./options.ts";
import type { Option, OptionKey } from "./options.ts";

const table: Record<OptionKey, Option> = options;
const keys = Object.keys(options) as OptionKey[];

/** The option table as Markdown: docs/configuration.md holds it, and a test compares. */
export function optionsReference(): string {
  const groups = [...new Set(keys.map((key) => table[key].group))];
  const sections = groups.map((group) => {
    const rows = keys
      .filter((key) => table[key].group === group)
      .map((key) => {
        const { type, help, default: value, choices } = table[key];
        const form = choices === undefined ? type : choices.join(" \\| ");
        const shown = value === "" ? "–" : `\`${value}\``;
        return `| \`--${flagName(key)}\`<br>\`${key}\` | ${form} | ${shown} | ${help} |`;
      });
    return [
      `### ${group}`,
      "",
      "| Flag, file key | Form | Default | What it does |",
      "|---|---|---|---|",
      ...rows,
    ].join("\n");
  });
  const refused = Object.entries(refusedFlags).map(([flag, why]) => `| \`--${flag}\` | ${why} |`);
  const accepted = Object.entries(acceptedFlags).map(([flag, why]) => `| \`--${flag}\` | ${why} |`);
  return [
    ...sections,
    [
      "### cri-dockerd's flags without an effect here",
      "",
      "| Flag | Why |",
      "|---|---|",
      ...accepted,
    ].join("\n"),
    [
      "### cri-dockerd's flags that are refused",
      "",
      "| Flag | Instead |",
      "|---|---|",
      ...refused,
    ].join("\n"),
  ].join("\n\n");
}

/**
 * `dockline config`: what is in force and where each value came from, one option a line.
 *
 * @param file path of the configuration file that was read
 */
export function configInForce(loaded: LoadedConfig, file = "file"): string {
  const width = Math.max(...keys.map((key) => key.length));
  return keys
    .map((key) => {
      const value = loaded.config[key];
      const text = valueText(value, table[key].type);
      const source = loaded.sources[key];
      const from = { environment: environmentName(key), flag: `--${flagName(key)}`, file };
      const shown = source === "default" ? source : from[source];
      return `${key.padEnd(width)}  ${JSON.stringify(text)}  (${shown})`;
    })
    .join("\n");
}

function valueText(value: unknown, type: Option["type"]): string {
  if (Array.isArray(value)) return value.join(",");
  return type === "duration" ? durationText(Number(value)) : String(value);
}
