import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BigIntStats } from "node:fs";
import { isErrno } from "../sys/fs.ts";
import { CniError } from "./cni-error.ts";

/** A plugin's program and a text that changes when the file is replaced. */
export interface PluginBinary {
  type: string;
  path: string;
  identity: string;
}

/**
 * Finds the program of a plugin type in the first of `binDirs` that has it. Plugins run as root, so
 * the file, and the folders it is reached through, must belong to root and be writable by no one
 * else (T29). Throws CniError `missing` or `untrusted`.
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
    for (const [where, stats] of [
      [folder, await stat(folder, { bigint: true })],
      [dirname(real), await stat(dirname(real), { bigint: true })],
      [real, found],
    ] as const) {
      const trouble = distrust(stats);
      if (trouble !== undefined) {
        throw new CniError(
          { plugin: type, verb, failure: "untrusted" },
          `${where} ${trouble}: correct it with "chown root:root" and "chmod go-w"`,
        );
      }
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
    return { type, path, identity };
  }
  throw new CniError(
    { plugin: type, verb, failure: "missing" },
    `no such program in ${binDirs.join(", ")}`,
  );
}

/** Why a file is not safe to run as root. An ACL that lets others write shows in the group bits. */
function distrust(stats: BigIntStats): string | undefined {
  const owner = Number(stats.uid);
  if (owner !== 0 && owner !== process.geteuid?.()) return `belongs to user ${owner}`;
  if ((Number(stats.mode) & 0o022) !== 0) return "can be written by others than root";
  return undefined;
}
