import { environmentName, flagName } from "../../src/config/load.ts";
import { acceptedFlags, options, refusedFlags } from "../../src/config/options.ts";
import type { Option, OptionKey } from "../../src/config/options.ts";
import { commands } from "../../src/cli/commands.ts";
import { entry, literal, page, roff, section, title } from "./roff.ts";

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
        "reads the configuration again, takes over level and format of the log, and opens the trace file again; other options need a restart, which disturbs no pod",
      ),
    ),
    section(
      "EXIT STATUS",
      entry("0", "done"),
      entry("1", "failed"),
      entry("2", "the command line or the configuration is wrong"),
      roff(
        "Commands with other codes name them on their own page: dockline doctor has 1 for warnings, 2 for errors and 3 for a wrong command line.",
      ),
    ),
    section(
      "SEE ALSO",
      roff(
        [
          ...commands
            .filter(({ name }) => name !== "help")
            .map(({ name }) => `dockline-${name}(8)`),
          "dockline.yaml(5), dockerd(8), journalctl(1)",
        ].join(", "),
      ),
    ),
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
        'A file of keys and values in YAML or JSON. Flags win over environment variables, those over the file. An unknown key is an error that names the nearest known one. Durations are written as 90s, 1m30s or 500ms; lists as such or as text with commas. "dockline config" checks every value and prints what is in force as such a file, with comments that say where each value comes from. "systemctl reload dockline" takes over logLevel and logFormat; other changes need "systemctl restart dockline", which disturbs no pod.',
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
