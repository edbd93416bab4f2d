import { readFile, readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import type { Config } from "../../config/options.ts";
import { errorText } from "../../errors.ts";
import { silentLogger } from "../../log.ts";
import { CniError } from "../../network/cni-error.ts";
import { parseConfigList, parseSingleConfig, pluginTypes } from "../../network/conflist.ts";
import type { NetworkConfig } from "../../network/conflist.ts";
import { createNetwork } from "../../network/network.ts";
import type { NetworkStatus } from "../../network/network.ts";
import { findPlugin, foreignWriters } from "../../network/plugin-binary.ts";
import { systemClock } from "../../sys/clock.ts";
import { isErrno } from "../../sys/fs.ts";
import type { CniFacts, CniFile } from "./facts.ts";

/** The folder file by file, and what `dockline serve` makes of it as a whole. */
export async function readCni(config: Config): Promise<CniFacts> {
  const { cniConfDir: confDir, cniBinDir: binDirs } = config;
  let names: string[];
  try {
    names = (await readdir(confDir)).sort();
  } catch (error) {
    const folderTrouble = isErrno(error, "ENOENT")
      ? `the CNI configuration folder ${confDir} does not exist`
      : `the CNI configuration folder cannot be read: ${errorText(error)}`;
    return { folderTrouble, files: [], plugins: [] };
  }
  const files: CniFile[] = [];
  let used: NetworkConfig | undefined;
  let usedName = "";
  for (const name of names.filter((candidate) =>
    [".conf", ".conflist", ".json"].includes(extname(candidate)),
  )) {
    try {
      const text = await readFile(join(confDir, name), "utf8");
      const network =
        extname(name) === ".conflist" ? parseConfigList(text) : parseSingleConfig(text);
      if (used === undefined) [used, usedName] = [network, name];
      files.push({ name, network: network.name });
    } catch (error) {
      files.push({ name, trouble: errorText(error) });
    }
  }
  const plugins: CniFacts["plugins"][number][] = [];
  const warnings = new Set<string>();
  for (const type of new Set(used?.plugins.flatMap(pluginTypes))) {
    try {
      const program = await findPlugin(type, binDirs, "VERSION");
      for (const warning of program.warnings) warnings.add(warning);
    } catch (error) {
      const failure =
        error instanceof CniError && error.failure === "untrusted" ? "untrusted" : "missing";
      const message =
        failure === "missing"
          ? `${type}, which is not in ${binDirs.join(" or ")}`
          : errorText(error);
      plugins.push({ type, failure, message });
    }
  }
  const { ready, message, notes = [] } = await statusOf(config);
  const isToldAlready = (note: string): boolean =>
    files.some(({ name, trouble }) => trouble !== undefined && note.includes(` ${name}: `));
  return {
    ...{ files, plugins, warnings: [...warnings] },
    configWarnings: await foreignConfig(confDir, used === undefined ? undefined : usedName),
    notes: notes.filter((note) => !isToldAlready(note)),
    ...(ready ? {} : { problem: message }),
  };
}

/** Who besides root can change the folder or the file that is used: one sentence for each, as of programs. */
async function foreignConfig(folder: string, name: string | undefined): Promise<string[]> {
  const paths = [folder, ...(name === undefined ? [] : [join(folder, name)])];
  const warnings: string[] = [];
  for (const path of paths) {
    const stats = await stat(path, { bigint: true });
    warnings.push(...foreignWriters(stats).map((trouble) => `${path} ${trouble}`));
  }
  return warnings;
}

/** What `dockline serve` would say, STATUS of plugins of spec 1.1 included. */
async function statusOf(config: Config): Promise<NetworkStatus> {
  const network = createNetwork({
    confDir: config.cniConfDir,
    binDirs: config.cniBinDir,
    log: silentLogger,
    clock: systemClock,
  });
  // A range that only the kubelet knows is no fault of the configuration.
  network.setPodCidr(config.podCidr === "" ? "192.0.2.0/24" : config.podCidr);
  const status = await network.status();
  network.close();
  return status;
}
