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
import { findProcesses, flagOf, lookAtNode } from "./migrate-node.ts";
import type { ForeignFolders } from "./migrate-node.ts";
import { backSteps, fromSteps } from "./migrate-steps.ts";
import { count, formatFindings, walkSteps } from "./report.ts";
import type { Finding } from "./report.ts";
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
                           cri-dockerd's (default: that of the running one, or
                           /var/lib/cri-dockerd)
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
    return await run(options, print);
  } catch (error) {
    process.stderr.write(`dockline migrate: ${errorText(error)}\n`);
    return 1;
  }
}

/** A reader that went (`| head`) must not end a switch half-way. */
function printToStdout(text: string): void {
  if (process.stdout.listenerCount("error") === 0) process.stdout.on("error", () => undefined);
  process.stdout.write(text);
}

async function run(options: MigrateOptions, print: (text: string) => void): Promise<number> {
  const { config, folders, direction, apply } = options;
  const engine = createDockerEngine({ endpoint: config.dockerEndpoint, log: silentLogger });
  let release: (() => void) | undefined;
  try {
    if (direction === "to") return await toContainerd(options, engine, print);
    const { findings, containers } = await lookAtNode(engine, config, folders);
    const others = findProcesses("cri-dockerd");
    findings.push(
      others.length === 0
        ? { level: "ok", text: "cri-dockerd is not running" }
        : {
            level: direction === "from" ? "ok" : "bad",
            text: `cri-dockerd is running (pid ${others.map(({ pid }) => pid).join(", ")})`,
          },
    );
    if (direction !== "from") {
      const held = holdState(config.stateDir);
      findings.push(held.finding);
      release = held.release;
    }
    print(`This node:\n${formatFindings(findings)}`);
    const bad = findings.filter(({ level }) => level === "bad");
    const steps =
      direction === "from"
        ? await fromSteps(options, containers)
        : await backSteps(options, containers, await readRecords(config.stateDir));
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

const valueFlags = [
  ...["--from", "--to", "--kubelet-flags", "--output", "--docker-certs-dir"],
  ...["--cri-dockerd-root-directory", "--dockershim-root"],
];

/** Undefined for `--help`. Throws InvalidArgument for what `serve` would not take either. */
export function parseOptions(args: readonly string[]): MigrateOptions | undefined {
  const running = findProcesses("cri-dockerd")[0]?.args ?? [];
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
  const inherited = flagOf(running, "--cni-cache-dir");
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
        flagOf(running, "--cri-dockerd-root-directory") ??
        "/var/lib/cri-dockerd",
      dockershim: values.get("--dockershim-root") ?? "/var/lib/dockershim",
    },
    output: values.get("--output"),
    dockerCertsDir: values.get("--docker-certs-dir") ?? "/etc/docker/certs.d",
    config,
  };
}
