import { stringify } from "yaml";
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
 * `dockline config`: a configuration file in YAML with what is in force, and in comments where each
 * value came from.
 *
 * @param file path of the configuration file that was read
 */
export function configInForce(loaded: LoadedConfig, file = "file"): string {
  const lines = keys.map((key) => {
    const source = loaded.sources[key];
    const from = { environment: environmentName(key), flag: `--${flagName(key)}`, file };
    const shown = source === "default" ? source : from[source];
    return [`${key}: ${stringify(plainValue(loaded, key), inFlow).trimEnd()}`, shown] as const;
  });
  const width = Math.min(widest, Math.max(...lines.map(([text]) => text.length)));
  return lines.map(([text, shown]) => `${text.padEnd(width)}  # ${shown}`).join("\n");
}

/** `dockline config --json`: the same values as one JSON object, a configuration file as well. */
export function configAsJson(loaded: LoadedConfig): string {
  return JSON.stringify(plainConfig(loaded), null, 2);
}

/** The values as a configuration file has them. */
export function plainConfig(loaded: LoadedConfig): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, plainValue(loaded, key)]));
}

const widest = 60;
/** One line for each option, whatever its length. */
const inFlow = { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false } as const;

function plainValue({ config }: LoadedConfig, key: OptionKey): unknown {
  const value = config[key];
  return table[key].type === "duration" ? durationText(Number(value)) : value;
}
