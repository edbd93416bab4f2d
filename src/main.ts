import { optionsHelp, parseArguments } from "./config/argv.ts";
import { readConfigFile } from "./config/file.ts";
import { loadConfig } from "./config/load.ts";
import { configInForce } from "./config/reference.ts";
import type { Config } from "./config/options.ts";
import { errorText } from "./errors.ts";
import { version } from "./version.ts";

const usage = `dockline ${version}: a CRI runtime for Kubernetes nodes that run Docker Engine

usage: dockline [serve] [options]        serve the CRI (what the kubelet needs)
       dockline play POD.yaml [options]  run a Kubernetes Pod manifest through the CRI
       dockline migrate ...              from cri-dockerd or dockershim to Dockline, and back
       dockline trace [options]          what each CRI call becomes, live or from a recording
       dockline doctor [options]         say what is wrong with this node, and the line that mends it
       dockline install-runtime [...]    register dockline-oci with Docker (user namespaces, …)
       dockline version                  print versions, the server's too if it runs
       dockline config [options]         print the configuration in force and its sources
       dockline COMMAND --help           help of one command
`;

/** Exit codes: 0 done, 1 failed, 2 the command line or configuration is wrong. */
async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  const command = first === undefined || first.startsWith("-") ? "serve" : first;
  const args = command === first ? rest : argv;
  switch (command) {
    case "serve":
      return await serve(args);
    case "play": {
      const { play } = await import("./cli/play.ts");
      return await play(args);
    }
    case "version": {
      const { printVersion } = await import("./cli/version.ts");
      return await printVersion(args);
    }
    case "config":
      return await serve(args, true);
    case "trace": {
      const { trace } = await import("./cli/trace.ts");
      return await trace(args);
    }
    case "doctor": {
      const { doctor } = await import("./admin/doctor.ts");
      return await doctor(args);
    }
    case "migrate": {
      const { migrate } = await import("./admin/migrate.ts");
      return await migrate(args);
    }
    case "install-runtime": {
      const { installRuntime } = await import("./admin/install-runtime.ts");
      return await installRuntime(args);
    }
    case "help":
      process.stdout.write(usage);
      return 0;
    case "__port-forward-dialler": {
      const { runDiallerChild } = await import("./streaming/dialler-child.ts");
      // Lives on its channel to the parent and ends with it.
      runDiallerChild();
      return 0;
    }
    default:
      process.stderr.write(`dockline: unknown command ${JSON.stringify(command)}\n\n${usage}`);
      return 2;
  }
}

async function serve(args: readonly string[], printOnly = false): Promise<number> {
  let config: Config;
  try {
    if (args.includes("--version") || args.includes("--buildinfo")) {
      process.stdout.write(`dockline ${version}\n`);
      return 0;
    }
    const parsed = parseArguments(args);
    if (parsed.help) {
      process.stdout.write(`${usage}\noptions of serve:\n\n${optionsHelp()}\n`);
      return 0;
    }
    const { path, values } = readConfigFile(parsed.configFile);
    const loaded = loadConfig({ file: values, environment: process.env, flags: parsed.flags });
    if (printOnly) {
      process.stdout.write(`${configInForce(loaded, path)}\n`);
      return 0;
    }
    config = loaded.config;
  } catch (error) {
    process.stderr.write(`dockline: ${errorText(error)}\n`);
    return 2;
  }
  const { runDaemon } = await import("./daemon.ts");
  return await runDaemon(config);
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
    process.stderr.write(`dockline: ${errorText(error)}\n`);
    process.exitCode = 1;
  },
);
