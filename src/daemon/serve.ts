import { optionsHelp, readArguments } from "../config/argv.ts";
import type { ConfigFile } from "../config/file.ts";
import { readConfigFile } from "../config/file.ts";
import { collected, problemsOf } from "../config/errors.ts";
import { loadConfig } from "../config/load.ts";
import type { LoadedConfig } from "../config/load.ts";
import { configAsJson, configInForce } from "../config/reference.ts";
import { complain as complainOnStderr } from "../sys/terminal.ts";
import { optionChecks, optionsTogether } from "./option-checks.ts";

const usage = `usage: dockline serve [--config FILE] [options]
       dockline [options]                    the same, as cri-dockerd has it
       dockline config [--json] [--config FILE] [options]

"dockline config" checks every value and prints the configuration in force, as
YAML or JSON that --config takes. The same checks come first in "serve".

Each option may be a flag, an environment variable (--docker-endpoint is
DOCKLINE_DOCKER_ENDPOINT) or a key of the file (dockerEndpoint); flags win over
the environment, and that over the file (/etc/dockline/config.yaml if it is
there). Durations are written 500ms, 90s or 1m30s, sizes 16m, lists a,b.

Exit code: 0 ended by a signal; 1 failed; 2 the command line or the
configuration is wrong.

  dockline serve --log-level debug --metrics-bind-addr 127.0.0.1:9357
  dockline serve --container-runtime-endpoint fd://   # systemd holds the socket
`;

/** `dockline serve` and `dockline config`. Exit codes: 0 done, 1 failed, 2 wrong configuration. */
export async function serve(
  args: readonly string[],
  printOnly = false,
  { uid, complain } = { uid: process.getuid?.(), complain: complainOnStderr },
): Promise<number> {
  const json = printOnly && args.includes("--json");
  const given = json ? args.filter((argument) => argument !== "--json") : args;
  if (given.some((argument) => ["--help", "-h"].includes(argument))) {
    process.stdout.write(`${usage}\n${optionsHelp()}\n`);
    return 0;
  }
  let loaded: LoadedConfig & Pick<ConfigFile, "path">;
  try {
    loaded = loadAll(given, process.env);
  } catch (error) {
    const problems = problemsOf(error);
    if (problems === undefined) throw error;
    for (const problem of problems) complain(problem);
    return 2;
  }
  if (printOnly) {
    const text = json ? configAsJson(loaded) : configInForce(loaded, loaded.path);
    process.stdout.write(`${text}\n`);
    return 0;
  }
  if (uid !== 0) {
    complain(`"dockline serve" must run as root (this is user ${uid ?? "?"}): sudo dockline serve`);
    return 1;
  }
  const { runDaemon } = await import("./daemon.ts");
  return await runDaemon(loaded, () => loadAll(given, process.env));
}

/** Everything that is wrong with command line, file and environment at once: throws ConfigError. */
export function loadAll(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): LoadedConfig & Pick<ConfigFile, "path"> {
  const { problems, flags, configFile } = readArguments(args);
  const wrong = [...problems];
  const file = collected(wrong, () => readConfigFile(configFile));
  const loaded = loadConfig(
    {
      file: file?.values ?? {},
      filePath: file?.path,
      ...(file === undefined ? {} : { lineOf: file.lineOf }),
      environment,
      flags,
      problems: wrong,
    },
    optionChecks,
    optionsTogether,
  );
  return { ...loaded, path: file?.path };
}
