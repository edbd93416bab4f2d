import { readFile, readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";
import { isErrno } from "../sys/fs.ts";
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
}

/** `problem` says in a full sentence why there is none and what to do about it. */
export type ConfigLookup =
  { config: UsableConfig; problem?: undefined } | { config?: undefined; problem: string };

export interface ConfigSource {
  /** The configuration as the folder holds it now; re-read only when something there changed. */
  current(): Promise<ConfigLookup>;
}

/** How long a good reading is trusted while the folder is unchanged, and a bad one at all, in ms. */
const recheckBinariesMs = 10_000;
const recheckFailureMs = 1_000;
const maxConfigBytes = 1 << 20;

/** Reads the first valid configuration, by file name, of `confDir`. */
export function createConfigSource(options: {
  confDir: string;
  binDirs: readonly string[];
  plugins: Pick<PluginRunner, "versions">;
  clock: Clock;
}): ConfigSource {
  const { confDir, binDirs, plugins, clock } = options;
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
    for (const type of config.plugins.flatMap(pluginTypes)) {
      await findPlugin(type, binDirs, "VERSION");
    }
    return { ...config, cniVersion: await agreeOnVersion(config), file };
  };

  const agreeOnVersion = async (config: NetworkConfig): Promise<string> => {
    let versions = config.versions;
    for (const { type } of config.plugins) {
      const known = await plugins.versions(type);
      const left = versions.filter((version) => known.includes(version));
      if (left.length === 0) {
        throw new Error(
          `plugin ${type} knows CNI ${known.join(", ")} but the file asks for ${versions.join(", ")}`,
        );
      }
      versions = left;
    }
    return versions[0] ?? "";
  };

  const load = async (names: string[]): Promise<ConfigLookup> => {
    const problems: string[] = [];
    for (const name of names.filter(isConfigName)) {
      try {
        return { config: await complete(join(confDir, name)) };
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
  try {
    return (await readdir(folder)).filter((name) => extname(name) === ".conf").sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
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
