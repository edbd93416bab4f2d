import { commands, mainHelp } from "./cli/commands.ts";
import { nearest } from "./config/nearest.ts";
import { errorText } from "./errors.ts";
import { complain } from "./sys/terminal.ts";
import { version } from "./version.ts";

type Run = (args: readonly string[]) => Promise<number>;

/** Loaded when asked for: a command pays for nothing of the others. */
const runs: Record<string, () => Promise<Run>> = {
  serve: async () => (await import("./daemon/serve.ts")).serve,
  config: async () => {
    const { serve } = await import("./daemon/serve.ts");
    return (args) => serve(args, true);
  },
  play: async () => (await import("./cli/play/play.ts")).play,
  doctor: async () => {
    const { doctor } = await import("./admin/doctor.ts");
    const { serverStatus } = await import("./cli/status.ts");
    return (args) => doctor(args, undefined, { status: serverStatus });
  },
  trace: async () => (await import("./cli/trace.ts")).trace,
  release: async () => (await import("./cli/release.ts")).release,
  migrate: async () => (await import("./admin/migrate.ts")).migrate,
  "install-runtime": async () => (await import("./admin/install-runtime.ts")).installRuntime,
  version: async () => (await import("./cli/version.ts")).printVersion,
};

/** Exit codes: 0 done, 1 failed, 2 the command line or configuration is wrong. */
async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  // A unit of the operator's own may start the daemon by its name alone, as cri-dockerd's did.
  if (first === undefined && isService(process.env)) return await run("serve", []);
  if (first === undefined || first === "--help" || first === "-h") return help([]);
  if (first === "help") return await help(rest);
  const isServe = first === "serve" || first.startsWith("-");
  // cri-dockerd takes them with others beside them.
  if (isServe && argv.some((argument) => ["--version", "--buildinfo", "-v"].includes(argument))) {
    process.stdout.write(`dockline ${version}\n`);
    return 0;
  }
  return first.startsWith("-") ? await run("serve", argv) : await run(first, rest);
}

/** Started by systemd, and not by a person at a terminal. */
function isService(environment: NodeJS.ProcessEnv): boolean {
  return environment["NOTIFY_SOCKET"] !== undefined || environment["LISTEN_FDS"] !== undefined;
}

async function help(of: readonly string[]): Promise<number> {
  const [command] = of;
  if (command !== undefined && command !== "help" && !command.startsWith("-"))
    return await run(command, ["--help"]);
  process.stdout.write(mainHelp());
  return 0;
}

async function run(command: string, args: readonly string[]): Promise<number> {
  const load = Object.hasOwn(runs, command) ? runs[command] : undefined;
  if (load !== undefined) return await (await load())(args);
  const names = commands.map(({ name }) => name);
  const meant = nearest(command, names, "dockline ");
  complain(
    `unknown command ${JSON.stringify(command)}${meant === "" ? `; there are ${names.join(", ")}` : meant}`,
  );
  return 2;
}

// `dockline doctor | head` closes the pipe on us; that is no failure, and nobody reads what is left.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  throw error;
});

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    complain(errorText(error));
    process.exitCode = 1;
  },
);
