import { readdirSync, readFileSync, statSync, openSync, readSync, closeSync } from "node:fs";
import { join } from "node:path";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { isErrno } from "../sys/fs.ts";

/** A plugin whose program lies on the node. */
export interface InstalledPlugin {
  readonly index: string;
  readonly name: string;
  readonly path: string;
}

const FILE = /^([0-9]{2})-([A-Za-z0-9_.+-]{1,128})$/;
const WASM = "0061736d";

/** Programs in the folder, in the order of their index; what is none, or cannot be trusted, is logged and left out. */
export function installedPlugins(folder: string, log: Logger): InstalledPlugin[] {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) {
      log.warn({ path: folder, error: errorText(error) }, "NRI plugins cannot be looked for");
    }
    return [];
  }
  return names.flatMap((file) => {
    const path = join(folder, file);
    try {
      const reason = whyNot(folder, file, path, log);
      if (reason === "no program") return [];
      if (reason !== undefined) {
        log.warn({ path, reason }, "an NRI plugin is not run");
        return [];
      }
    } catch (error) {
      log.warn({ path, reason: errorText(error) }, "an NRI plugin is not run");
      return [];
    }
    const [, index = "", name = ""] = FILE.exec(file) ?? [];
    return [{ index, name, path }];
  });
}

function whyNot(folder: string, file: string, path: string, log: Logger): string | undefined {
  const found = statSync(path);
  if (!found.isFile() || (found.mode & 0o111) === 0) return "no program";
  if (!FILE.test(file)) return 'its name is not "NN-name"';
  const around = statSync(folder);
  for (const { mode, where } of [
    { mode: found.mode, where: path },
    { mode: around.mode, where: folder },
  ]) {
    if ((mode & 0o002) !== 0) return `${where} can be written by every user of the node`;
  }
  if (startsWith(path, WASM)) return "WebAssembly plugins are not supported";
  for (const { uid, mode, where } of [
    { ...owner(found), where: path },
    { ...owner(around), where: folder },
  ]) {
    if ((uid !== 0 && uid !== process.geteuid?.()) || (mode & 0o020) !== 0) {
      log.warn({ path: where, uid }, "an NRI plugin can be changed by others than root");
    }
  }
  return undefined;
}

const owner = ({ uid, mode }: { uid: number; mode: number }) => ({ uid, mode });

function startsWith(path: string, hex: string): boolean {
  const bytes = Buffer.alloc(hex.length / 2);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  return bytes.toString("hex") === hex;
}

/** The text of `NN-name.conf`, else of `name.conf`; "" without either. */
export function pluginConfig(folder: string, { index, name }: InstalledPlugin): string {
  for (const file of [`${index}-${name}.conf`, `${name}.conf`]) {
    try {
      return readFileSync(join(folder, file), "utf8");
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
  }
  return "";
}
