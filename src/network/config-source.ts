import { readFile, readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";
import { isErrno, namesIn } from "../sys/fs.ts";
import { SingleFlight } from "../sys/mutex.ts";
import { parseConfigList, parsePluginFile, parseSingleConfig, pluginTypes } from "./conflist.ts";
import type { NetworkConfig } from "./conflist.ts";
import { findPlugin } from "./plugin-binary.ts";
import type { PluginRunner } from "./plugin.ts";

/** A configuration whose plugins are there and agree on a spec version. */
export interface UsableConfig extends NetworkConfig {
  /** The newest version that the file offers, Dockline speaks and every plugin knows. */
  cniVersion: string;
  file: string;
  /** Who besides root can change the plugins' programs, one sentence each. */
  warnings: string[];
  /** Plugins that do not say what they speak, and files by earlier names that cannot be used. */
  notes: string[];
}

/** `problem` says in a full sentence why there is none and what to do about it. */
export type ConfigLookup =
  { config: UsableConfig; problem?: undefined } | { config?: undefined; problem: string };

/** What of the configuration an operator is shown: names, and nothing that a file may keep secret. */
export interface NetworkSource {
  confDir: string;
  binDirs: readonly string[];
  podCidrs: readonly string[];
  problem?: string;
  file?: string;
  name?: string;
  cniVersion?: string;
  /** Types, in the order of their ADD. */
  plugins?: string[];
}

/** A configuration, or why there is none, with where it was looked for. */
export function sourceOf(
  { config, problem }: ConfigLookup,
  from: Pick<NetworkSource, "confDir" | "binDirs" | "podCidrs">,
): NetworkSource {
  if (config === undefined) return { ...from, problem };
  const { file, name, cniVersion, plugins } = config;
  return { ...from, file, name, cniVersion, plugins: plugins.flatMap(pluginTypes) };
}

export interface ConfigSource {
  /** The configuration as the folder holds it now; re-read only when something there changed. */
  current(): Promise<ConfigLookup>;
}

/** How long a result is reused, in ms: a good one only while the folder is unchanged, a bad one in any case. */
const recheckBinariesMs = 10_000;
const recheckFailureMs = 1_000;
const maxConfigBytes = 1 << 20;

/** Reads the first valid configuration, by file name, of `confDir`. */
export function createConfigSource(options: {
  confDir: string;
  binDirs: readonly string[];
  plugins: Pick<PluginRunner, "versions">;
  clock: Clock;
  /** Only to detach pods: programs that every user may write count as well. */
  forDel?: boolean;
}): ConfigSource {
  const { confDir, binDirs, plugins, clock } = options;
  const verb = options.forDel === true ? "DEL" : "VERSION";
  const flight = new SingleFlight<ConfigLookup>();
  let cached: { lookup: ConfigLookup; signature: string; atMs: number } | undefined;

  const noConfig = (why: string): ConfigLookup => ({
    problem:
      `${why}: put the network plugin's .conflist file into ${confDir} ` +
      `(plugin programs are searched in ${binDirs.join(", ")})`,
  });

  const complete = async (file: string): Promise<UsableConfig> => {
    const text = await readConfigFile(file);
    const config = extname(file) === ".conflist" ? parseConfigList(text) : parseSingleConfig(text);
    if (!config.loadOnlyInlinedPlugins) {
      for (const name of await pluginFiles(join(confDir, config.name))) {
        const path = join(confDir, config.name, name);
        try {
          config.plugins.push(parsePluginFile(await readConfigFile(path)));
        } catch (cause) {
          throw new Error(`${path}: ${errorText(cause)}`, { cause });
        }
      }
    }
    if (config.plugins.length === 0) throw new Error("it has no plugins");
    const warnings = new Set<string>();
    for (const type of config.plugins.flatMap(pluginTypes)) {
      const program = await findPlugin(type, binDirs, verb);
      for (const warning of program.warnings) warnings.add(warning);
    }
    const { cniVersion, silent } = await agreeOnVersion(config);
    return { ...config, cniVersion, file, warnings: [...warnings], notes: silent };
  };

  /**
   * A plugin that does not answer VERSION is taken at the file's word, as in containerd, which never asks:
   * another file by a later name is another network, and pods would land there without a word.
   */
  const agreeOnVersion = async (
    config: NetworkConfig,
  ): Promise<{ cniVersion: string; silent: string[] }> => {
    let versions = config.versions;
    const silent: { type: string; silence: string }[] = [];
    for (const { type } of config.plugins) {
      const { known, silence } = await plugins.versions(type, verb);
      const left = versions.filter((version) => known.includes(version));
      if (left.length > 0) versions = left;
      else if (silence !== undefined) silent.push({ type, silence });
      else {
        throw new Error(
          `plugin ${type} knows CNI ${known.join(", ")} but the file asks for ${versions.join(", ")}`,
        );
      }
    }
    const cniVersion = versions[0] ?? "";
    return {
      cniVersion,
      silent: silent.map(
        ({ type, silence }) =>
          `plugin ${type} does not answer VERSION and gets CNI ${cniVersion} ` +
          `because network ${config.name} asks for it (${silence})`,
      ),
    };
  };

  const load = async (names: string[]): Promise<ConfigLookup> => {
    const problems: string[] = [];
    for (const name of names.filter(isConfigName)) {
      try {
        const config = await complete(join(confDir, name));
        const passedOver = problems.map((problem) => `passed over ${problem}`);
        return { config: { ...config, notes: [...config.notes, ...passedOver] } };
      } catch (error) {
        problems.push(`${name}: ${errorText(error)}`);
      }
    }
    if (problems.length === 0) return noConfig(`no CNI configuration in ${confDir}`);
    const more = problems.length > 3 ? `; and ${problems.length - 3} more` : "";
    return noConfig(
      `no usable CNI configuration in ${confDir} (${problems.slice(0, 3).join("; ")}${more})`,
    );
  };

  const refresh = async (): Promise<ConfigLookup> => {
    try {
      const names = (await readdir(confDir)).sort();
      const signature = await signatureOf(confDir, names);
      const age = cached === undefined ? Infinity : clock.monotonicMs() - cached.atMs;
      const limit = cached?.lookup.config === undefined ? recheckFailureMs : recheckBinariesMs;
      if (cached !== undefined && cached.signature === signature && age < limit) {
        return cached.lookup;
      }
      const lookup = await load(names);
      cached = { lookup, signature, atMs: clock.monotonicMs() };
      return lookup;
    } catch (error) {
      cached = undefined;
      return isErrno(error, "ENOENT")
        ? noConfig(`the CNI configuration folder ${confDir} does not exist`)
        : noConfig(`the CNI configuration folder ${confDir} cannot be read: ${errorText(error)}`);
    }
  };

  return { current: () => flight.run("", refresh) };
}

function isConfigName(name: string): boolean {
  return [".conf", ".conflist", ".json"].includes(extname(name));
}

async function readConfigFile(path: string): Promise<string> {
  const found = await stat(path);
  // A fifo in the folder must not hold the call, nor a huge file fill the memory.
  if (!found.isFile()) throw new Error("not a file");
  if (found.size > maxConfigBytes) throw new Error(`larger than ${maxConfigBytes} bytes`);
  return await readFile(path, "utf8");
}

/** Files of the folder that spec 1.1 appends to the list; most networks have none. */
async function pluginFiles(folder: string): Promise<string[]> {
  return (await namesIn(folder)).filter((name) => extname(name) === ".conf").sort();
}

/** A text that changes with every change of a file in the folder or one level below it. */
async function signatureOf(folder: string, names: readonly string[], deep = true): Promise<string> {
  const parts: string[] = [];
  for (const name of names) {
    const path = join(folder, name);
    try {
      const found = await stat(path, { bigint: true });
      parts.push([name, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(" "));
      if (deep && found.isDirectory()) {
        parts.push(await signatureOf(path, (await readdir(path)).sort(), false));
      }
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      parts.push(`${name} gone`);
    }
  }
  return parts.join("\n");
}

/** One line for log and condition; "" when there is nothing to look at. */
export function configWarning({
  warnings,
  notes,
}: Pick<UsableConfig, "warnings" | "notes">): string {
  const shown = (all: readonly string[]): string =>
    all.slice(0, 4).join("; ") + (all.length > 4 ? `; and ${all.length - 4} more` : "");
  const programs =
    warnings.length === 0
      ? []
      : [
          "CNI plugins run as root, and others than root can change their programs: " +
            shown(warnings),
        ];
  return [...programs, ...(notes.length === 0 ? [] : [`CNI: ${shown(notes)}`])].join("; ");
}
