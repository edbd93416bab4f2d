import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArguments } from "../config/argv.ts";
import { readConfigFile } from "../config/file.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import { createDockerEngine } from "../engine/docker-engine.ts";
import { errorText } from "../errors.ts";
import { silentLogger } from "../log.ts";
import { SandboxRecords } from "../state/sandbox-records.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { lockFolder } from "../sys/instance-lock.ts";
import { readHandBack } from "./hand-back.ts";
import { flagOf, lookAtNode } from "./migrate-node.ts";
import type { ForeignFolders, FoundContainer } from "./migrate-node.ts";
import { backSteps, fromSteps, journalOf, undoSteps } from "./migrate-steps.ts";
import { criDockerdFinding, findCriDockerd, switchUnits, unitFindings } from "./migrate-units.ts";
import { count, formatFindings, StepFailure, walkSteps } from "./report.ts";
import type { Finding, Step } from "./report.ts";
import { lookAtUnits } from "./systemd-units.ts";
import type { Units } from "./systemd-units.ts";
import { toContainerd } from "./to-containerd.ts";

const usage = `usage: dockline migrate --from cri-dockerd|dockershim [--apply] [options]
       dockline migrate --back [--undo] [--apply] [options]
       dockline migrate --to containerd [--apply --output FOLDER] [options]

Looks at the node and prints the steps from another runtime to Dockline (--from)
or from Dockline to cri-dockerd (--back; --undo takes that back). Nothing is
changed without --apply. From Dockline to containerd (--to) --apply writes files
into FOLDER, for the operator to put in place, and does nothing else.

  --kubelet-flags FILE     edit this file too (kubeadm's is
                           /var/lib/kubelet/kubeadm-flags.env)
  --cri-dockerd-root-directory FOLDER
                           cri-dockerd's (default: that of the running one or of
                           its unit, or /var/lib/cri-dockerd)
  --dockershim-root FOLDER dockershim's (default: /var/lib/dockershim)
  --output FOLDER          with --to: a folder that is empty or not there yet
  --docker-certs-dir FOLDER
                           with --to: Docker's (default: /etc/docker/certs.d)

and every option of "dockline serve", as that one will run.

Exit code: 0 nothing stands in the way, 1 something does or a step failed, 2 the
command line is wrong.

  dockline migrate --from cri-dockerd
  dockline migrate --from cri-dockerd --apply \\
    --kubelet-flags /var/lib/kubelet/kubeadm-flags.env
`;

export interface MigrateOptions {
  direction: "from" | "back" | "undo" | "to";
  /** dockershim lived in the kubelet: there is no service to end. */
  from: "cri-dockerd" | "dockershim" | undefined;
  apply: boolean;
  kubeletFlags: string | undefined;
  folders: ForeignFolders;
  /** What the kubelet is pointed to when cri-dockerd has the node again. */
  criDockerdEndpoint: string;
  /** Where the files for containerd go. */
  output: string | undefined;
  dockerCertsDir: string;
  config: Config;
}

/** `dockline migrate`. */
export async function migrate(
  args: readonly string[],
  print: (text: string) => void = printToStdout,
): Promise<number> {
  let options: MigrateOptions | undefined;
  try {
    options = parseOptions(args);
  } catch (error) {
    process.stderr.write(`dockline migrate: ${errorText(error)}\n\n${usage}`);
    return 2;
  }
  if (options === undefined) {
    print(usage);
    return 0;
  }
  try {
    const units = options.direction === "to" ? undefined : await lookAtUnits(switchUnits);
    // Its unit knows the folders when it does not run: after a switch, or a step that failed.
    const theirs = findCriDockerd()[0]?.args ?? units?.get("cri-docker.service")?.command;
    return await run(parseOptions(args, theirs) ?? options, units, print);
  } catch (error) {
    const advice = error instanceof StepFailure ? `\n${whatNow(error, options)}` : "";
    process.stderr.write(`dockline migrate: ${errorText(error)}${advice}\n`);
    return 1;
  }
}

/** A reader that went (`| head`) must not end a switch half-way. */
function printToStdout(text: string): void {
  if (process.stdout.listenerCount("error") === 0) process.stdout.on("error", () => undefined);
  process.stdout.write(text);
}

/** The plan sees what is done, so that the same command goes on where a switch broke off. */
function whatNow({ number }: StepFailure, { direction }: MigrateOptions): string {
  if (direction === "to") return "";
  const before = number === 1 ? "Nothing was changed before it" : "The steps before it are done";
  return (
    `${before}. Pods run on; a kubelet that was stopped stays stopped.\n` +
    "Mend the cause and run the same command again: it goes on with this step."
  );
}

async function run(
  options: MigrateOptions,
  units: Units | undefined,
  print: (text: string) => void,
): Promise<number> {
  const { config, folders, direction, apply } = options;
  const engine = createDockerEngine({ endpoint: config.dockerEndpoint, log: silentLogger });
  let release: (() => void) | undefined;
  try {
    if (direction === "to") return await toContainerd(options, engine, print);
    const { findings, containers } = await lookAtNode(engine, config, folders);
    const handedBack = (await readHandBack(journalOf(config.stateDir))) !== undefined;
    findings.push(criDockerdFinding(findCriDockerd(), { direction, units, handedBack }));
    findings.push(...unitFindings(units, direction));
    if (direction !== "from") {
      const held = holdState(config.stateDir);
      findings.push(held.finding);
      release = held.release;
    }
    print(`This node:\n${formatFindings(findings)}`);
    const bad = findings.filter(({ level }) => level === "bad");
    const steps = await stepsOf(options, containers, units);
    if (apply && bad.length > 0) {
      print(`\nNothing was changed: ${count(bad.length, "problem")} above.\n`);
      return 1;
    }
    print(apply ? "\nSteps:\n" : "\nSteps (dry run; --apply does those that are ours):\n");
    await walkSteps(steps, { apply, print });
    return bad.length === 0 ? 0 : 1;
  } finally {
    release?.();
    engine.close();
  }
}

async function stepsOf(
  options: MigrateOptions,
  containers: readonly FoundContainer[],
  units: Units | undefined,
): Promise<Step[]> {
  if (options.direction === "undo") return await undoSteps(options);
  if (options.direction === "from") return await fromSteps(options, containers, units);
  const records = await readRecords(options.config.stateDir);
  return await backSteps(options, containers, records, units);
}

/** Logs and records of a Dockline that runs would change under our hands. */
function holdState(stateDir: string): { finding: Finding; release?: () => void } {
  try {
    const lock = lockFolder(stateDir);
    return {
      finding: { level: "ok", text: "Dockline is not running" },
      release: () => lock.release(),
    };
  } catch (error) {
    return {
      finding: { level: "bad", text: `stop Dockline first (and the kubelet): ${errorText(error)}` },
    };
  }
}

/** From a copy: opening the records tidies up, which is for Dockline alone to do. */
async function readRecords(stateDir: string): Promise<SandboxRecord[]> {
  const copy = await mkdtemp(join(tmpdir(), "dockline-migrate-"));
  try {
    await cp(join(stateDir, "sandboxes"), join(copy, "sandboxes"), { recursive: true });
    return (await SandboxRecords.open(copy, silentLogger)).all();
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

const criDockerdSocket = "unix:///var/run/cri-dockerd.sock";
const valueFlags = [
  ...["--from", "--to", "--kubelet-flags", "--output", "--docker-certs-dir"],
  ...["--cri-dockerd-root-directory", "--dockershim-root"],
];

/**
 * Undefined for `--help`. Throws InvalidArgument for what `serve` would not take either.
 * `theirs` is cri-dockerd's command line, as far as it is known.
 */
export function parseOptions(
  args: readonly string[],
  theirs: readonly string[] = [],
): MigrateOptions | undefined {
  const values = new Map<string, string>();
  const switches = new Set<string>();
  const rest: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? "";
    const name = argument.split("=", 1)[0] ?? "";
    if (["--apply", "--back", "--undo", "--help", "-h"].includes(argument)) switches.add(argument);
    else if (valueFlags.includes(name)) {
      const given = argument === name ? args[(at += 1)] : argument.slice(name.length + 1);
      if (given === undefined) throw new Error(`${name} needs a value`);
      values.set(name, given);
    } else rest.push(argument);
  }
  if (switches.has("--help") || switches.has("-h")) return undefined;
  const from = values.get("--from");
  const back = switches.has("--back");
  if (from !== undefined && from !== "cri-dockerd" && from !== "dockershim") {
    throw new Error(`--from ${from}: want cri-dockerd or dockershim`);
  }
  const to = values.get("--to");
  if (to !== undefined && to !== "containerd") throw new Error(`--to ${to}: want containerd`);
  const directions = [from !== undefined, back, to !== undefined].filter(Boolean);
  if (directions.length !== 1) throw new Error("say one of --from, --back and --to");
  if (values.has("--output") && to === undefined) throw new Error("--output belongs to --to");
  if (to !== undefined && switches.has("--apply") && !values.has("--output")) {
    throw new Error("--to containerd --apply needs --output FOLDER");
  }
  if (switches.has("--undo") && !back) throw new Error("--undo belongs to --back");
  const { flags, configFile } = parseArguments(rest);
  const { values: file } = readConfigFile(configFile);
  const theirEndpoint = flagOf(theirs, "--container-runtime-endpoint");
  const inherited = flagOf(theirs, "--cni-cache-dir");
  const { config } = loadConfig({
    file: { ...(inherited === undefined ? {} : { cniCacheDir: inherited }), ...file },
    environment: process.env,
    flags,
  });
  return {
    direction:
      from !== undefined
        ? "from"
        : to !== undefined
          ? "to"
          : switches.has("--undo")
            ? "undo"
            : "back",
    from,
    apply: switches.has("--apply"),
    kubeletFlags: values.get("--kubelet-flags"),
    folders: {
      criDockerd:
        values.get("--cri-dockerd-root-directory") ??
        flagOf(theirs, "--cri-dockerd-root-directory") ??
        "/var/lib/cri-dockerd",
      dockershim: values.get("--dockershim-root") ?? "/var/lib/dockershim",
    },
    // By its socket unit it has "fd://".
    criDockerdEndpoint: theirEndpoint?.startsWith("unix://") ? theirEndpoint : criDockerdSocket,
    output: values.get("--output"),
    dockerCertsDir: values.get("--docker-certs-dir") ?? "/etc/docker/certs.d",
    config,
  };
}
