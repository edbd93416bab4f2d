/*
 * src/admin: commands that look at the node and act on it: doctor, migrate, install-runtime.
 * Not here: speaking CRI (src/cli does), and decisions about pods: these commands run beside a daemon,
 * or without one.
 */
import { existsSync } from "node:fs";
import { parseArguments } from "../config/argv.ts";
import { readConfigFile } from "../config/file.ts";
import { loadConfig } from "../config/load.ts";
import { errorText } from "../errors.ts";
import { version } from "../version.ts";
import { checkNames, examine } from "./doctor/examine.ts";
import type { Finding, Level } from "./doctor/finding.ts";
import { readNode } from "./doctor/read-node.ts";
import type { ReadOptions, Surroundings } from "./doctor/read-node.ts";
import { findingsText, terminalPaint } from "./doctor/text.ts";
import { findProcesses, ownProcesses } from "./migrate-node.ts";

const usage = `usage: dockline doctor [--check NAME]... [--verbose | --json] [options]

Looks at this node (Docker, its settings, runc, disks, CNI, sockets, the kubelet
and what other runtimes left) and reports what is wrong, why it matters and the
command that fixes it. Nothing is changed. Run it as root; Docker and Dockline
may be down.

  --check NAME            only this check; may be repeated, or be a list: a,b
  --verbose               also list the checks that found nothing
  --json                  one JSON object instead of text (docs/operations.md)
  --kubelet-config FILE   the kubelet's configuration (default: the running
                          one's, or /var/lib/kubelet/config.yaml)
  --kubelet-flags FILE    its flags (default: the running one's, or
                          /var/lib/kubelet/kubeadm-flags.env)
  --daemon-json FILE      Docker's settings (default: dockerd's own
                          --config-file, or /etc/docker/daemon.json)
  --cri-dockerd-root-directory FOLDER
                          cri-dockerd's directory (default /var/lib/cri-dockerd)
  --dockershim-root FOLDER
                          dockershim's directory (default /var/lib/dockershim)

and every option of "dockline serve": give those that the service runs with.

Exit code: 0 nothing is wrong, 1 warnings only, 2 errors, 3 it could not look
(the command line or the configuration is wrong).

  dockline doctor
  dockline doctor --check engine,storage
  dockline doctor --json | jq -r '.findings[]|select(.level=="error").what'

Checks: ${listed(checkNames, 72).join("\n        ")}
`;

const exitCodes = { fine: 0, warnings: 1, errors: 2, usage: 3 } as const;

const around: Surroundings = {
  processes: (program) => ownProcesses(findProcesses(program)),
  systemd: existsSync("/run/systemd/system"),
};

/** `dockline doctor`. */
export async function doctor(
  args: readonly string[],
  print: (text: string) => void = printToStdout,
  surroundings: Partial<Surroundings> = {},
): Promise<number> {
  let options: DoctorOptions | undefined;
  try {
    options = parseOptions(args);
  } catch (error) {
    process.stderr.write(
      `dockline doctor: ${errorText(error)}\n"dockline doctor --help" has the options\n`,
    );
    return exitCodes.usage;
  }
  if (options === undefined) {
    print(usage);
    return exitCodes.fine;
  }
  let findings: Finding[];
  try {
    findings = examine(await readNode(options, { ...around, ...surroundings }), options.only);
  } catch (error) {
    process.stderr.write(`dockline doctor: ${errorText(error)}\n`);
    return exitCodes.usage;
  }
  if (options.json) print(findingsJson(findings));
  else {
    const isAsked = options.verbose || options.only.length > 0;
    print(findingsText(findings, { withOk: isAsked, paint: terminalPaint }));
  }
  return exitCodeOf(findings);
}

const printToStdout = (text: string): void => void process.stdout.write(text);

export function exitCodeOf(findings: readonly Finding[]): number {
  if (findings.some(({ level }) => level === "error")) return exitCodes.errors;
  if (findings.some(({ level }) => level === "warning")) return exitCodes.warnings;
  return exitCodes.fine;
}

/** Its shape is documented and only ever grows; `schema` changes when it cannot. */
export function findingsJson(findings: readonly Finding[]): string {
  const number = (level: Level): number => findings.filter((one) => one.level === level).length;
  const report = {
    schema: 1,
    dockline: version,
    counts: {
      error: number("error"),
      warning: number("warning"),
      ok: number("ok"),
      skipped: number("skipped"),
    },
    // `mend` is the older name of `fix`; both stay, since scripts read them.
    findings: findings.map((finding) => ({ ...finding, fix: finding.mend })),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

type DoctorOptions = ReadOptions & { json: boolean; verbose: boolean; only: readonly string[] };

/** Undefined for `--help`. Throws InvalidArgument for what `serve` would not take either. */
function parseOptions(args: readonly string[]): DoctorOptions | undefined {
  const own = new Map<string, string>();
  const only: string[] = [];
  const rest: string[] = [];
  let [json, verbose] = [false, false];
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? "";
    const name = argument.split("=", 1)[0] ?? "";
    if (argument === "--json") json = true;
    else if (argument === "--verbose") verbose = true;
    else if (ownOptions.includes(name)) {
      const given = argument === name ? args[(at += 1)] : argument.slice(name.length + 1);
      if (given === undefined) throw new Error(`${name} needs a value`);
      if (name === "--check") only.push(...checksOf(given));
      else own.set(name, given);
    } else rest.push(argument);
  }
  const { flags, configFile, help } = parseArguments(rest);
  if (help) return undefined;
  const { values } = readConfigFile(configFile);
  const { config } = loadConfig({ file: values, environment: process.env, flags });
  return {
    ...{ json, verbose, only, config },
    kubeletConfig: own.get("--kubelet-config"),
    kubeletFlags: own.get("--kubelet-flags"),
    daemonJson: own.get("--daemon-json"),
    folders: {
      criDockerd: own.get("--cri-dockerd-root-directory") ?? "/var/lib/cri-dockerd",
      dockershim: own.get("--dockershim-root") ?? "/var/lib/dockershim",
    },
  };
}

function checksOf(given: string): string[] {
  const names = given.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !checkNames.includes(name));
  if (unknown === undefined) return names;
  throw new Error(
    `--check: there is no check ${JSON.stringify(unknown)}; the checks are ${checkNames.join(", ")}`,
  );
}

/** Words in lines of at most `width` characters. */
function listed(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

const ownOptions = [
  "--check",
  "--kubelet-config",
  "--kubelet-flags",
  "--daemon-json",
  "--cri-dockerd-root-directory",
  "--dockershim-root",
];
