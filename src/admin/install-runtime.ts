import { parseArgs } from "node:util";
import { createDockerEngine } from "../engine/docker-engine.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { errorText } from "../errors.ts";
import { createLogger } from "../log.ts";
import { runProcess } from "../sys/process.ts";
import { complain } from "../sys/terminal.ts";
import { argumentOf, findDockerd, type DockerdProcess } from "./dockerd-process.ts";
import {
  editingRuntimesIn,
  withoutEmptyRuntimes,
  withoutRuntimes,
  withRuntimes,
} from "./runtime-members.ts";
import { placeProgram, removeProgram } from "./runtime-program.ts";
import { readOrEmpty, replaceText } from "./text-file.ts";

const usage = `usage: dockline install-runtime [options]

Registers dockline-oci in Docker's daemon.json and has dockerd reload it; Docker
is not restarted and nothing that runs is touched. May be repeated.

  --undo                  remove it again
  --binary PATH           use this program where it lies (default: a copy in
                          /usr/local/lib/dockline)
  --real-runtime PATH     the runc that it calls (default: the one on dockerd's
                          PATH)
  --daemon-json PATH      Docker's settings (default: dockerd's own
                          --config-file, or /etc/docker/daemon.json)
  --docker-endpoint URL   default: unix:///var/run/docker.sock
  --run-dir PATH          that of dockline serve (default: /run/dockline)

Exit code: 0 done, 1 failed, 2 the command line is wrong.

  dockline install-runtime
  dockline install-runtime --real-runtime /usr/local/bin/runc
`;
const reloadMs = 10_000;
const pollMs = 100;
const isOurName = /^dockline(?:-|$)/;

interface Choice {
  undo: boolean;
  binary: string | undefined;
  realRuntime: string | undefined;
  daemonJson: string | undefined;
  endpoint: string;
  runDir: string;
}

/** `dockline install-runtime`. Exit codes: 0 done, 1 failed, 2 the command line is wrong. */
export async function installRuntime(args: readonly string[]): Promise<number> {
  let choice: Choice | "help";
  try {
    choice = choiceOf(args);
  } catch (error) {
    complain(`install-runtime: ${errorText(error)}; see dockline install-runtime --help`);
    return 2;
  }
  if (choice === "help") {
    process.stdout.write(usage);
    return 0;
  }
  const engine = createDockerEngine({
    endpoint: choice.endpoint,
    log: createLogger({ level: "silent" }),
  });
  try {
    await (choice.undo ? undo(choice, engine) : install(choice, engine));
    return 0;
  } catch (error) {
    complain(`install-runtime: ${errorText(error)}`);
    return 1;
  } finally {
    engine.close();
  }
}

function choiceOf(args: readonly string[]): Choice | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", short: "h" },
      undo: { type: "boolean", default: false },
      binary: { type: "string" },
      "real-runtime": { type: "string" },
      "daemon-json": { type: "string" },
      "docker-endpoint": { type: "string", default: "unix:///var/run/docker.sock" },
      "run-dir": { type: "string", default: "/run/dockline" },
    },
  });
  if (values.help === true) return "help";
  for (const name of ["binary", "real-runtime", "daemon-json", "run-dir"] as const) {
    if (values[name]?.startsWith("/") === false) throw new Error(`--${name} must be absolute`);
  }
  return {
    undo: values.undo,
    binary: values.binary,
    realRuntime: values["real-runtime"],
    daemonJson: values["daemon-json"],
    endpoint: values["docker-endpoint"],
    runDir: values["run-dir"].replace(/\/+$/, ""),
  };
}

async function install(choice: Choice, engine: DockerEngine): Promise<void> {
  const program = await placeProgram(choice.binary);
  const args = [
    ...(choice.realRuntime === undefined ? [] : [`--real-runtime=${choice.realRuntime}`]),
    ...(choice.runDir === "/run/dockline" ? [] : [`--edits=${choice.runDir}/oci`]),
  ];
  // Before anything is changed: a runtime that cannot be called is not registered.
  await requireOutput(program, ["--dockline-version"]);
  const edit = (text: string): string => withRuntimes(text, program, args);
  const { names, dockerd } = await change(choice, engine, edit);
  for (const name of names)
    say(`${name} is registered${dockerd ? "" : " for Docker's next start"}`);
  if (!dockerd) return;
  const { DockerRootDir } = await engine.info();
  const { stdout, stderr } = await runProcess(
    program,
    [`--dockline-probe=${DockerRootDir}`, ...args],
    { timeoutMs: 30_000 },
  );
  say(`it can: ${stdout.trim()}`);
  if (stderr !== "") say(`user namespaces are off: ${stderr.trim()}`);
  say("a Dockline that runs learns of it by itself; crictl info shows it as docklineOci");
}

async function undo(choice: Choice, engine: DockerEngine): Promise<void> {
  if (!(await isRegistered(choice, engine))) {
    // Without a reload: it would take over whatever else waits in daemon.json.
    if (choice.binary === undefined) await removeProgram();
    say("dockline-oci is not registered");
    return;
  }
  await requireUnused(engine);
  const { path, before, after } = await change(choice, engine, withoutRuntimes);
  if (after !== before) await replaceText(path, withoutEmptyRuntimes(after));
  if (choice.binary === undefined) await removeProgram();
  say("dockline-oci is not registered any more");
}

interface Changed {
  /** Names of the runtimes of ours that are in the file now. */
  names: string[];
  path: string;
  before: string | undefined;
  after: string;
  /** It runs, and has taken the change over. */
  dockerd: boolean;
}

/** Writes daemon.json, has it reloaded, and puts the old text back when dockerd refuses it. */
async function change(
  choice: Choice,
  engine: DockerEngine,
  edit: (text: string) => string,
): Promise<Changed> {
  const socketPath = choice.endpoint.replace(/^unix:\/\//, "");
  const dockerd = findDockerd(socketPath);
  if (dockerd === undefined && (await answers(engine))) {
    throw new Error(
      `Docker answers at ${choice.endpoint}, but the process behind it is not to be found here: run this where dockerd runs, as root`,
    );
  }
  const path = daemonJsonOf(choice, dockerd);
  if (dockerd?.arguments.some((argument) => argument.startsWith("--add-runtime")) === true) {
    throw new Error(
      `dockerd has runtimes on its command line (--add-runtime), which it does not accept together with those of ${path}: move them to "runtimes" there first`,
    );
  }
  const before = await readOrEmpty(path);
  let after: string;
  try {
    after = edit(before ?? "{}\n");
  } catch (error) {
    throw new Error(`${path} cannot be edited: ${errorText(error)}`, { cause: error });
  }
  const names = editingRuntimesIn(after);
  if (after !== before) await replaceText(path, after);
  if (dockerd === undefined) return { names, path, before, after, dockerd: false };
  try {
    await reload(engine, dockerd, names);
  } catch (error) {
    if (after === before) throw error;
    await replaceText(path, before ?? "{}\n");
    process.kill(dockerd.pid, "SIGHUP");
    throw new Error(
      `${errorText(error)}; ${path} is as it was before. dockerd's log says why (journalctl -u docker)`,
      { cause: error },
    );
  }
  return { names, path, before, after, dockerd: true };
}

function daemonJsonOf(choice: Choice, dockerd: DockerdProcess | undefined): string {
  return (
    choice.daemonJson ??
    (dockerd === undefined ? undefined : argumentOf(dockerd, "--config-file")) ??
    "/etc/docker/daemon.json"
  );
}

/** In Docker's file, or in a Docker that has not read it again. */
async function isRegistered(choice: Choice, engine: DockerEngine): Promise<boolean> {
  const dockerd = findDockerd(choice.endpoint.replace(/^unix:\/\//, ""));
  const text = await readOrEmpty(daemonJsonOf(choice, dockerd));
  if (text !== undefined && /dockline/.test(text)) return true;
  try {
    const { Runtimes } = await engine.info();
    return Object.keys(Runtimes ?? {}).some((name) => isOurName.test(name));
  } catch {
    return false;
  }
}

async function answers(engine: DockerEngine): Promise<boolean> {
  try {
    await engine.ping({ timeoutMs: 3000 });
    return true;
  } catch {
    return false;
  }
}

async function reload(
  engine: DockerEngine,
  dockerd: DockerdProcess,
  wanted: readonly string[],
): Promise<void> {
  process.kill(dockerd.pid, "SIGHUP");
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const { Runtimes } = await engine.info();
    const there = Object.keys(Runtimes ?? {}).filter((name) => isOurName.test(name));
    if (there.sort().join() === [...wanted].sort().join()) return;
    if (waitedMs >= reloadMs) {
      throw new Error(
        `dockerd (pid ${dockerd.pid}) got a SIGHUP but still has the runtimes ${there.join(", ") || "it had"}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** A container whose runtime is not registered cannot be started, nor managed after a restart. */
async function requireUnused(engine: DockerEngine): Promise<void> {
  let listed: { Id: string }[];
  try {
    listed = await engine.listContainers([]);
  } catch {
    // No Docker, no containers that run.
    return;
  }
  const using: string[] = [];
  for (const { Id } of listed) {
    const { HostConfig, Name } = await engine.inspectContainer(Id);
    if (isOurName.test(HostConfig.Runtime ?? "")) using.push(Name.slice(1));
  }
  if (using.length === 0) return;
  const some = using.slice(0, 3).join(", ");
  throw new Error(
    `${using.length} containers run under dockline-oci (${some}${using.length > 3 ? ", …" : ""}): drain the node and remove them first`,
  );
}

async function requireOutput(program: string, args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runProcess(program, args, { timeoutMs: 10_000 });
  if (exitCode !== 0) throw new Error(`${program} does not run: ${stderr.trim()}`);
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
