import { optionsHelp, parseArguments } from "./config/argv.ts";
import { readConfigFile } from "./config/file.ts";
import { loadConfig } from "./config/load.ts";
import { configInForce } from "./config/reference.ts";
import type { Config } from "./config/options.ts";
import { errorText } from "./errors.ts";
import { version } from "./version.ts";

const usage = `dockline ${version}: a CRI runtime for Kubernetes nodes that run Docker Engine

usage: dockline [COMMAND] [options]

  serve            serve the CRI, what the kubelet needs (the default)
  play POD.yaml    run a Kubernetes Pod manifest through the CRI
  doctor           what is wrong with this node, and how to fix it
  trace            what each CRI call does, live or from a recording
  release POD      give up what a pod's network plugin cannot undo
  migrate          from cri-dockerd or dockershim, back, or to containerd
  install-runtime  register dockline-oci with Docker (user namespaces, …)
  config           the effective configuration, and its sources
  version          versions, the server's too if it runs

"dockline COMMAND --help" has the options of one. Exit code 2: the command line
or the configuration is wrong (3 for the doctor).
`;

const serveUsage = `usage: dockline serve [--config FILE] [options]
       dockline config [--config FILE] [options]   only prints the result

Each option may be a flag, an environment variable (--docker-endpoint is
DOCKLINE_DOCKER_ENDPOINT) or a key of the file (dockerEndpoint); flags win over
the environment, and that over the file (/etc/dockline/config.yaml if it is
there). Durations are written 500ms, 90s or 1m30s, sizes 16m, lists a,b.

  dockline serve --log-level debug --metrics-bind-addr 127.0.0.1:9357
  dockline serve --container-runtime-endpoint fd://   # systemd holds the socket
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
      const { serverStatus } = await import("./cli/status.ts");
      return await doctor(args, undefined, { status: serverStatus });
    }
    case "release": {
      const { release } = await import("./cli/release.ts");
      return await release(args);
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
      process.stdout.write(`${serveUsage}\n${optionsHelp()}\n`);
      return 0;
    }
    const { path, values } = readConfigFile(parsed.configFile);
    const loaded = loadConfig({
      file: values,
      filePath: path,
      environment: process.env,
      flags: parsed.flags,
    });
    if (printOnly) {
      process.stdout.write(`${configInForce(loaded, path)}\n`);
      return 0;
    }
    config = loaded.config;
  } catch (error) {
    process.stderr.write(`dockline: ${errorText(error)}\n`);
    return 2;
  }
  const { runDaemon } = await import("./daemon/daemon.ts");
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
