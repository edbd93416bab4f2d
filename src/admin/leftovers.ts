import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { parseCheckpoint } from "./checkpoint-file.ts";
import { isErrno, readTextIfExists, unlinkIfExists } from "../sys/fs.ts";
import { listIfThere } from "./migrate-node.ts";

/** A checkpoint file whose pause container the engine does not have any more. */
export interface LeftOver {
  path: string;
  /** "namespace/name", or "damaged". */
  pod: string;
}

/**
 * Checkpoints of pods that are gone, in `<root>/sandbox`. Given back to cri-dockerd, each would be
 * listed as a pod that is not ready. Files that are no checkpoints by their name are left alone.
 */
export async function findLeftOvers(
  root: string,
  existing: ReadonlySet<string>,
): Promise<LeftOver[]> {
  const folder = join(root, "sandbox");
  const found: LeftOver[] = [];
  for (const name of listIfThere(folder)) {
    if (!/^[0-9a-f]{64}$/.test(name) || existing.has(name)) continue;
    const path = join(folder, name);
    const checkpoint = parseCheckpoint((await readTextIfExists(path)) ?? "");
    const pod = checkpoint === undefined ? "damaged" : `${checkpoint.namespace}/${checkpoint.name}`;
    found.push({ path, pod });
  }
  return found;
}

/** Removes them, and the folders that are empty then. */
export async function removeLeftOvers(root: string, leftOvers: readonly LeftOver[]): Promise<void> {
  for (const { path } of leftOvers) await unlinkIfExists(path);
  for (const folder of [join(root, "sandbox"), root]) {
    try {
      await rmdir(folder);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTEMPTY", "EEXIST")) throw error;
      return;
    }
  }
}
