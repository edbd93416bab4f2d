import type { Stats } from "node:fs";
import { chmod, lchown, lstat, mkdir, readdir, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../sys/fs.ts";
import type { UnpackedLayer } from "./unpack-layer.ts";

const OPAQUE = ".wh..wh..opq";
const WHITEOUT = ".wh.";

/**
 * Puts a layer on top of the tree of those below it, as OCI's rules have it: an opaque folder hides
 * what was in it, a whiteout removes one name, a folder on a folder adds to it, and whatever else
 * there is takes the place of what was there. By renames: nothing is copied. Only real folders are
 * walked into, in the layer and in the tree; the layer's folder is used up.
 */
export async function mergeLayer(
  layer: string,
  described: UnpackedLayer["described"],
  tree: string,
): Promise<void> {
  await mergeFolder(layer, tree, described, "");
}

async function mergeFolder(
  from: string,
  onto: string,
  described: UnpackedLayer["described"],
  path: string,
): Promise<void> {
  // A folder that was only on the way to something says nothing of its own owner, mode and times.
  const kept = await lstat(described.has(path) ? from : onto);
  const names = await readdir(from);
  if (names.includes(OPAQUE)) {
    for (const name of await readdir(onto)) await remove(join(onto, name));
  }
  for (const name of names) {
    if (name.startsWith(WHITEOUT) && name !== OPAQUE) {
      await remove(join(onto, name.slice(WHITEOUT.length)));
    }
  }
  for (const name of names) {
    if (name.startsWith(WHITEOUT)) continue;
    const above = join(from, name);
    const below = join(onto, name);
    const found = await statOf(below);
    if (!(await lstat(above)).isDirectory()) {
      // A rename over a folder fails, and one over another name of the same file does nothing.
      if (found !== undefined) await remove(below);
      await rename(above, below);
      continue;
    }
    if (found?.isDirectory() !== true) {
      if (found !== undefined) await remove(below);
      await mkdir(below, { mode: 0o755 });
    }
    await mergeFolder(above, below, described, path === "" ? name : `${path}/${name}`);
  }
  await lchown(onto, kept.uid, kept.gid);
  await chmod(onto, kept.mode & 0o7777);
  await utimes(onto, kept.atime, kept.mtime);
}

const remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
