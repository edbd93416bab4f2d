import { environmentName, flagName } from "../../src/config/load.ts";
import { acceptedFlags, options, refusedFlags } from "../../src/config/options.ts";
import type { Option, OptionKey } from "../../src/config/options.ts";

const table: Record<OptionKey, Option> = options;
const keys = Object.keys(options) as OptionKey[];

/**
 * dockline(8).
 *
 * @param usage what `dockline help` prints, so that no command is missing here
 * @param date of the page, year-month-day
 */
export function programPage(usage: string, version: string, date: string): string {
  return page([
    title("DOCKLINE", 8, version, date),
    section("NAME", roff("dockline - a CRI runtime for Kubernetes nodes that run Docker Engine")),
    section("SYNOPSIS", "\\fBdockline\\fR [\\fICOMMAND\\fR] [\\fIOPTION\\fR ...]"),
    section(
      "DESCRIPTION",
      roff(
        "Dockline serves the Container Runtime Interface to the kubelet on a unix socket and turns its calls into requests to Docker Engine and runs of CNI plugins. Containers belong to Docker: they keep running when Dockline is stopped, restarted, upgraded or removed.",
      ),
    ),
    section("COMMANDS", literal(usage.split("\n\n").slice(1).join("\n\n").trimEnd())),
    section("OPTIONS OF SERVE", ...keys.map(optionEntry)),
    section(
      "OPTIONS OF CRI-DOCKERD",
      roff("Accepted, without an effect:"),
      ...Object.entries(acceptedFlags).map(([flag, why]) => entry(`--${flag}`, why)),
      ".PP",
      roff("Rejected:"),
      ...Object.entries(refusedFlags).map(([flag, why]) => entry(`--${flag}`, why)),
    ),
    section(
      "FILES",
      entry("/etc/dockline/config.yaml", "the configuration, dockline.yaml(5)"),
      entry("/run/dockline/dockline.sock", "the CRI socket"),
      entry(
        "/run/dockline/containerd.sock",
        "what the --containerd flag of kubelets up to 1.36 names",
      ),
      entry("/var/lib/dockline", "records of pods and positions in logs"),
      entry("/usr/share/doc/dockline", "the documentation and examples"),
    ),
    section(
      "SIGNALS",
      entry("SIGTERM, SIGINT", "ends; running calls get --drain-timeout"),
      entry(
        "SIGHUP",
        "reopens the trace file; a new configuration needs a restart, which affects no pod",
      ),
    ),
    section(
      "EXIT STATUS",
      entry("0", "done"),
      entry("1", "failed"),
      entry("2", "the command line or the configuration is wrong"),
    ),
    section("SEE ALSO", roff("dockline.yaml(5), dockerd(8), journalctl(1)")),
  ]);
}

/** dockline.yaml(5). */
export function configurationPage(version: string, date: string): string {
  const groups = [...new Set(keys.map((key) => table[key].group))];
  return page([
    title("DOCKLINE.YAML", 5, version, date),
    section("NAME", roff("dockline.yaml - the configuration of dockline(8)")),
    section("SYNOPSIS", roff("/etc/dockline/config.yaml")),
    section(
      "DESCRIPTION",
      roff(
        'A file of keys and values in YAML or JSON. Flags take precedence over environment variables, and those over the file. An unknown key is an error that names the nearest known one. Durations are written as 90s, 1m30s or 500ms; lists as YAML lists or as text with commas. "dockline config" prints the effective configuration and where each value comes from. Changes take effect after "systemctl restart dockline", which affects no pod.',
      ),
    ),
    section(
      "KEYS",
      ...groups.flatMap((group) => [
        `.SS ${roff(group)}`,
        ...keys.filter((key) => table[key].group === group).map(keyEntry),
      ]),
    ),
    section(
      "EXAMPLE",
      literal(
        "cniConfDir: /etc/cni/net.d\npinnedImages: [registry.example/base/*]\nlogLevel: warn",
      ),
    ),
    section("SEE ALSO", roff("dockline(8)")),
  ]);
}

function optionEntry(key: OptionKey): string {
  return entry(`--${flagName(key)}=${table[key].type.toUpperCase()}`, explanation(key));
}

function keyEntry(key: OptionKey): string {
  return entry(
    `${key}: ${table[key].type.toUpperCase()}`,
    `${explanation(key)} (${environmentName(key)})`,
  );
}

function explanation(key: OptionKey): string {
  const { help, choices, default: value } = table[key];
  const one = choices === undefined ? "" : `; one of ${choices.join(", ")}`;
  const usual = value === "" ? "" : `; default ${value}`;
  return `${help}${one}${usual}`;
}

/** Left-aligned and without hyphenation: names are copied from here. */
const page = (sections: string[]): string =>
  `${sections[0] ?? ""}\n.ad l\n.nh\n${sections.slice(1).join("\n")}\n`;
const title = (name: string, part: number, version: string, date: string): string =>
  `.TH ${name} ${part} ${date} "dockline ${version}"`;
const section = (name: string, ...lines: string[]): string => [`.SH ${name}`, ...lines].join("\n");
const entry = (term: string, text: string): string => `.TP\n.B ${roff(term)}\n${roff(text)}`;
const literal = (text: string): string => `.nf\n${text.split("\n").map(roff).join("\n")}\n.fi`;

/** Text as roff takes it: no escapes, no requests at the start of a line, hyphens that can be copied. */
function roff(text: string): string {
  const escaped = text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/[^\x20-\x7e]/gu, (letter) => {
      const code = letter.codePointAt(0) ?? 0;
      return `\\[u${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    });
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
