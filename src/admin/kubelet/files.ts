import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { errorText } from "../../errors.ts";
import { isErrno, readTextIfExists } from "../../sys/fs.ts";
import { flagOf } from "../migrate-node.ts";
import type { FoundProcess } from "../migrate-node.ts";
import type { TextFile } from "../text-file.ts";
import { inEffect } from "./in-effect.ts";

/** Every file that says how the kubelet of this node is started, as far as it is there. */
export interface KubeletFiles {
  /** Environment files with flags, in the order of the kubelet's command line: the last one wins. */
  flags: readonly TextFile[];
  /** systemd's files of kubelet.service that have flags in them. */
  units: readonly TextFile[];
  /** The `--config` file. */
  config: TextFile | undefined;
  /** The `--config-dir` files in the kubelet's own order: each overrides those before it. */
  dropIns: readonly TextFile[];
  /** What kubeadm merges into the configuration at init, join and upgrade. The kubelet does not read it. */
  instance: TextFile | undefined;
  /** Where that file is, or would be. */
  instancePath: string;
  running: FoundProcess | undefined;
  /** Files that were named and are missing, or that may not be read. */
  troubles: readonly string[];
}

/** What the operator has named on the command line; the rest is looked for. */
export interface NamedFiles {
  flags: string | undefined;
  config: string | undefined;
  /** kubeadm's folder, where it is not the one that kubeadm itself knows: in tests. */
  kubeadm?: string;
  /** In place of /proc: in tests. */
  proc?: string;
}

const kubeadmFolder = "/var/lib/kubelet";
export const kubeadmFlagsName = "kubeadm-flags.env";

const defaultFlags = [
  join(kubeadmFolder, kubeadmFlagsName),
  "/etc/sysconfig/kubelet",
  "/etc/default/kubelet",
];
const defaultConfig = join(kubeadmFolder, "config.yaml");
/** systemd's folders for units, the weakest first. */
const unitFolders = [
  "/lib/systemd/system",
  "/usr/lib/systemd/system",
  "/usr/local/lib/systemd/system",
  "/run/systemd/system",
  "/etc/systemd/system",
];

/** One of systemd's files of kubelet.service, also where the operator names it. */
export const isUnitFile = (path: string): boolean =>
  /\/systemd\/system\/kubelet\.service(?:\.d\/[^/]+\.conf)?$/.test(path);

/** The kubelet itself, and not one of the programs whose names begin like its own. */
export const kubeletAmong = (found: readonly FoundProcess[]): FoundProcess | undefined =>
  found.find(({ args }) => basename(args[0] ?? "") === "kubelet") ??
  found.find(({ args }) => /^kubelet-v?\d/.test(basename(args[0] ?? "")));

/**
 * `only`: the named files are all there is (they may be another node's), and no process of this
 * machine is looked at. Without it they stand in the place of the usual ones.
 */
export async function readKubeletFiles(
  named: NamedFiles,
  running: FoundProcess | undefined,
  only = false,
): Promise<KubeletFiles> {
  const troubles: string[] = [];
  const read = async (path: string): Promise<TextFile | undefined> => {
    try {
      const text = await readTextIfExists(path);
      return text === undefined ? undefined : { path, text };
    } catch (error) {
      troubles.push(`${path}: ${errorText(error)}`);
      return undefined;
    }
  };
  const readNamed = async (path: string | undefined): Promise<TextFile | undefined> => {
    if (path === undefined) return undefined;
    const before = troubles.length;
    const file = await read(path);
    if (file === undefined && troubles.length === before) troubles.push(`${path} is not there`);
    return file;
  };
  const readAll = async (paths: readonly string[]): Promise<TextFile[]> => {
    const files = [];
    for (const path of paths) files.push(await read(path));
    return files.filter((file) => file !== undefined);
  };
  const all = only || named.flags !== undefined ? [] : await readAll(unitFiles(unitFolders));
  const environment = environmentFiles(all);
  const flags =
    named.flags !== undefined || only
      ? [await readNamed(named.flags)].filter((file) => file !== undefined)
      : await readAll([...new Set([...defaultFlags, ...environment])]);
  const units = inEffect(
    all,
    flags.filter(({ path }) => environment.includes(path)),
  );
  const words = running?.args ?? [...units, ...flags].flatMap(({ text }) => wordsOf(text));
  // A kubelet that runs without the flag reads no configuration file.
  const usual = running === undefined ? defaultConfig : undefined;
  const said = flagOf(words, "--config");
  const found = only ? undefined : said === undefined ? usual : placeOf(said, running, named.proc);
  let config =
    named.config !== undefined ? await readNamed(named.config) : await readIf(found, read);
  const isMissing = named.config === undefined && config === undefined && troubles.length === 0;
  if (isMissing && running !== undefined && found !== undefined) {
    // A kubelet in a container has a root of its own.
    config = await read(join(named.proc ?? "/proc", String(running.pid), "root", found));
    if (config === undefined) {
      troubles.push(`${found} is not there, and the running kubelet has its configuration in it`);
    }
  }
  const folder = only ? undefined : flagOf(words, "--config-dir");
  const dropIns =
    folder === undefined
      ? []
      : await readAll(dropInPaths(placeOf(folder, running, named.proc), troubles));
  // kubeadm knows one folder, wherever the kubelet has its files; another node's are all in one place.
  const file = only ? (named.config ?? named.flags) : undefined;
  const kubeadm = file === undefined ? (named.kubeadm ?? kubeadmFolder) : dirname(file);
  const instancePath = join(kubeadm, "instance-config.yaml");
  return {
    flags,
    units,
    config,
    dropIns,
    instance: await read(instancePath),
    instancePath,
    running: only ? undefined : running,
    troubles,
  };
}

/** A path as the process that was given it understands it. */
function placeOf(path: string, running: FoundProcess | undefined, proc = "/proc"): string {
  if (isAbsolute(path) || running === undefined) return path;
  try {
    return join(readlinkSync(join(proc, String(running.pid), "cwd")), path);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ESRCH", "EACCES")) throw error;
    return path;
  }
}

async function readIf<T>(
  path: string | undefined,
  read: (path: string) => Promise<T | undefined>,
): Promise<T | undefined> {
  return path === undefined ? undefined : await read(path);
}

/** The words of an environment or unit file: quotes and variable names end a word like a space does. */
export function wordsOf(text: string): string[] {
  return (
    text
      .split("\n")
      .filter((line) => !/^\s*[#;]/.test(line))
      .flatMap((line) =>
        line
          .replace(/^\s*(?:Environment=["']?)?\w+=/, "")
          .replaceAll(/(--[\w-]+=)["']/g, "$1")
          .split(/[\s"'\\]+/),
      )
      // The second variable of a line.
      .map((word) => word.replace(/^\w+=(?=--)/, ""))
      .filter((word) => word !== "")
  );
}

/** The kubelet's walk: folders in between are entered, names in the order of their bytes. */
function dropInPaths(folder: string, troubles: string[]): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return dropInPaths(path, troubles);
        return entry.name.endsWith(".conf") ? [path] : [];
      });
  } catch (error) {
    troubles.push(`${folder}: ${errorText(error)}`);
    return [];
  }
}

/** The unit and its drop-in files as systemd takes them: of one name, that in the strongest folder. */
export function unitFiles(folders: readonly string[]): string[] {
  const dropIns = new Map<string, string>();
  let unit: string[] = [];
  for (const folder of folders) {
    const path = join(folder, "kubelet.service");
    if (existsSync(path)) unit = [path];
    for (const conf of listConfs(`${path}.d`)) dropIns.set(basename(conf), conf);
  }
  const names = [...dropIns.keys()].sort();
  return [...unit, ...names.map((name) => dropIns.get(name) ?? "")];
}

/** The files that units name with `EnvironmentFile=`; an empty one takes back those before it. */
export function environmentFiles(units: readonly TextFile[]): string[] {
  let paths: string[] = [];
  for (const { text } of units) {
    for (const [, value = ""] of text.matchAll(/^EnvironmentFile=[ \t]*(.*)$/gm)) {
      const path = value.trim().replace(/^-/, "");
      if (path === "") paths = [];
      else if (path.startsWith("/") && !/[*?[%]/.test(path)) paths.push(path);
    }
  }
  return paths;
}

function listConfs(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".conf"))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) throw error;
    return [];
  }
}
