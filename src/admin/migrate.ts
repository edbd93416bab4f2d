import { access, constants, cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDockerEngine } from "../engine/docker-engine.ts";
import { errorText } from "../errors.ts";
import { silentLogger } from "../log.ts";
import { SandboxRecords } from "../state/sandbox-records.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { lockFolder } from "../sys/instance-lock.ts";
import { journalOf, readHandBack } from "./hand-back.ts";
import { cgroupDriverFinding } from "./kubelet/cgroup-driver.ts";
import { findKubelet, kubeletFindings } from "./kubelet/steps.ts";
import { checkpointsIn, lookAtNode, pauseImageFindings } from "./migrate-node.ts";
import { parseOptions } from "./migrate-options.ts";
import type { MigrateOptions } from "./migrate-options.ts";
import { nothingToMigrate } from "./migrate-origin.ts";
import { backSteps, fromSteps, ownEndpoint, undoSteps } from "./migrate-steps.ts";
import type { FoundNode } from "./migrate-steps.ts";
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

  --kubelet-flags FILE     the kubelet's flags (default: kubeadm-flags.env in
                           /var/lib/kubelet, /etc/default/kubelet, its unit)
  --kubelet-config FILE    its configuration (default: the running one's, or
                           /var/lib/kubelet/config.yaml). Each of these files
                           that names a runtime is edited, and what kubeadm's
                           next upgrade reads:
                           /var/lib/kubelet/instance-config.yaml
  --cri-dockerd-root-directory FOLDER
                           cri-dockerd's (default: that of the running one or of
                           its unit, or /var/lib/cri-dockerd)
  --dockershim-root FOLDER dockershim's (default: /var/lib/dockershim)
  --output FOLDER          with --to: a folder that is empty or not there yet
  --docker-certs-dir FOLDER
                           with --to: Docker's (default: /etc/docker/certs.d)

and every option of "dockline serve": give those that the service will run with.

Exit code: 0 nothing stands in the way, 1 something does or a step failed, 2 the
command line is wrong.

  dockline migrate --from cri-dockerd
  dockline migrate --from cri-dockerd --apply
`;

/** `dockline migrate`. */
export async function migrate(
  args: readonly string[],
  print: (text: string) => void = printToStdout,
): Promise<number> {
  let options: MigrateOptions | undefined;
  try {
    options = parseOptions(args);
    await requireReadable(options);
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
    // When cri-dockerd does not run (after a switch, or after a step that failed), its unit has the directories.
    const theirs = findCriDockerd()[0]?.args ?? units?.get("cri-docker.service")?.command;
    return await run(parseOptions(args, theirs) ?? options, units, print);
  } catch (error) {
    const advice = error instanceof StepFailure ? `\n${whatNow(error, options)}` : "";
    process.stderr.write(`dockline migrate: ${errorText(error)}${advice}\n`);
    return 1;
  }
}

/** A mistyped name is reported before anything is looked at. */
async function requireReadable(options: MigrateOptions | undefined): Promise<void> {
  for (const [flag, path] of [
    ["--kubelet-flags", options?.kubeletFlags],
    ["--kubelet-config", options?.kubeletConfig],
  ] as const) {
    if (path === undefined) continue;
    await access(path, constants.R_OK).catch((error: unknown) => {
      throw new Error(`${flag}: ${errorText(error)}`, { cause: error });
    });
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
    "Fix the cause and run the same command again: it continues with this step."
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
    const { findings, containers, cgroupDriver } = await lookAtNode(engine, config, folders);
    const journal = await readHandBack(journalOf(config.stateDir));
    const running = findCriDockerd();
    const handedBack = journal !== undefined;
    findings.push(criDockerdFinding(running, { direction, units, handedBack }));
    findings.push(...unitFindings(units, direction));
    if (direction === "from") findings.push(...pauseImageFindings(options.theirPauseImage, config));
    if (direction !== "from") {
      const held = holdState(config.stateDir);
      findings.push(held.finding);
      release = held.release;
    }
    const kubelet = await findKubelet(options);
    if (cgroupDriver !== undefined) findings.push(cgroupDriverFinding(cgroupDriver, kubelet));
    if (direction !== "undo")
      findings.push(...kubeletFindings(kubelet, endpointFor(options), units));
    const criDockerdRuns = running.length > 0;
    if (options.from !== undefined && cgroupDriver !== undefined) {
      const nothing = nothingToMigrate(options.from, ownEndpoint(config), {
        ...{ containers, criDockerdRuns, units, kubelet, handedBack },
        checkpoints: checkpointsIn(folders),
      });
      if (nothing !== undefined) {
        print(`This node:\n${formatFindings([...findings, nothing])}`);
        return 1;
      }
    }
    print(`This node:\n${formatFindings(findings)}`);
    const bad = findings.filter(({ level }) => level === "bad");
    const steps = await stepsOf(options, { containers, units, journal, criDockerdRuns, kubelet });
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

const endpointFor = ({ direction, config, criDockerdEndpoint }: MigrateOptions): string =>
  direction === "from" ? ownEndpoint(config) : criDockerdEndpoint;

async function stepsOf(options: MigrateOptions, node: FoundNode): Promise<Step[]> {
  if (options.direction === "undo") return undoSteps(options, node);
  if (options.direction === "from") return await fromSteps(options, node);
  return await backSteps(options, node, await readRecords(options.config.stateDir));
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
