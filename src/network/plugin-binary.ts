import { constants } from "node:fs";
import { access, lstat, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BigIntStats } from "node:fs";
import { isErrno } from "../sys/fs.ts";
import { CniError } from "./cni-error.ts";

/** A plugin's program and a text that changes when the file is replaced. */
export interface PluginBinary {
  type: string;
  path: string;
  identity: string;
  /** Who besides root can change the program: one sentence for each file or folder. */
  warnings: string[];
}

/**
 * Finds the program of a plugin type in the first of `binDirs` that has it. Plugins run as root, so
 * whoever can write the file or its folder can become root. Installers give these folders to accounts
 * of their own (Kubespray: "kube"), and other runtimes run what is there; so does Dockline, with
 * warnings. Only what every user of the node may write is refused, and not for DEL: a pod that was
 * attached must be detached whatever has become of the folder.
 *
 * @throws CniError `missing` or `untrusted`
 */
export async function findPlugin(
  type: string,
  binDirs: readonly string[],
  verb: string,
): Promise<PluginBinary> {
  for (const folder of binDirs) {
    const path = join(folder, type);
    let real: string;
    try {
      real = await realpath(path);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) continue;
      throw new CniError({ plugin: type, verb, failure: "missing" }, `${path} cannot be read`, {
        cause: error,
      });
    }
    const found = await stat(real, { bigint: true });
    if (!found.isFile()) continue;
    const warnings = new Set<string>();
    if (verb !== "DEL") await refuseAdded(type, verb, path, real);
    for (const [where, stats] of [
      [folder, await stat(folder, { bigint: true })],
      [dirname(real), await stat(dirname(real), { bigint: true })],
      [real, found],
    ] as const) {
      if (verb !== "DEL" && openToEverybody(stats)) {
        throw new CniError(
          { plugin: type, verb, failure: "untrusted" },
          `${where} can be written by every user of the node: correct it with "chmod go-w ${where}"`,
        );
      }
      for (const trouble of foreignWriters(stats)) warnings.add(`${where} ${trouble}`);
    }
    try {
      await access(real, constants.X_OK);
    } catch (cause) {
      throw new CniError(
        { plugin: type, verb, failure: "missing" },
        `${path} cannot be executed: correct it with "chmod 755"`,
        { cause },
      );
    }
    const identity = [real, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(":");
    return { type, path, identity, warnings: [...warnings] };
  }
  throw new CniError(
    { plugin: type, verb, failure: "missing", absent: true },
    `no such program in ${binDirs.join(", ")}`,
  );
}

/**
 * The sticky bit of a folder that everybody may write keeps what root has put there, but any user can add the
 * program that is missing, or a link of its name.
 */
async function refuseAdded(type: string, verb: string, path: string, real: string): Promise<void> {
  for (const name of new Set([path, real])) {
    const folder = dirname(name);
    const [file, { mode }] = await Promise.all([lstat(name), stat(folder)]);
    if ((mode & 0o002) === 0 || isTrusted(file.uid)) continue;
    throw new CniError(
      { plugin: type, verb, failure: "untrusted" },
      `${name} belongs to user ${file.uid}, and every user of the node may add programs to ${folder}: correct it with "chmod o-w ${folder}"`,
    );
  }
}

const isTrusted = (uid: number): boolean => uid === 0 || uid === process.geteuid?.();

/** In a folder with the sticky bit nobody can replace a file that belongs to somebody else. */
function openToEverybody(stats: BigIntStats): boolean {
  const mode = Number(stats.mode);
  return (mode & 0o002) !== 0 && !(stats.isDirectory() && (mode & 0o1000) !== 0);
}

/** An access list that lets others write shows in the group bits, which then are its mask. */
export function foreignWriters(stats: BigIntStats): string[] {
  const owner = Number(stats.uid);
  const troubles: string[] = [];
  if (!isTrusted(owner)) troubles.push(`belongs to user ${owner}`);
  const mode = Number(stats.mode);
  if ((mode & 0o022) !== 0) {
    troubles.push(
      (mode & 0o002) !== 0
        ? "can be written by every user of the node, with the sticky bit"
        : `can be written by group ${stats.gid} or by an access control list`,
    );
  }
  return troubles;
}
