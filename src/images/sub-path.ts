import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";

/** As the kernel's own. */
const MAX_LINKS = 40;

/**
 * The path of `subPath` in an image's file system, with no link on its way. Links inside of the image
 * are followed; one that leads out of it, or is absolute, is refused as Docker does: what it names
 * is not the image's.
 *
 * @throws InvalidArgument whose message names the sub path
 */
export async function resolveSubPath(root: string, subPath: string): Promise<string> {
  const done: string[] = [];
  let left = subPath.split("/");
  let links = 0;
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (done.pop() === undefined) throw refused(subPath, "leads out of the image");
      continue;
    }
    const path = join(root, ...done, part);
    const target = await linkTarget(path, subPath);
    if (target === undefined) {
      done.push(part);
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw refused(subPath, "goes through too many links");
    if (target.startsWith("/")) throw refused(subPath, "leads out of the image");
    left = [...target.split("/"), ...left];
  }
  return join(root, ...done);
}

async function linkTarget(path: string, subPath: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ENAMETOOLONG")) {
      throw refused(subPath, "does not exist in the image");
    }
    throw error;
  }
}

const refused = (subPath: string, why: string): Error =>
  invalidArgument(`image_sub_path: ${JSON.stringify(subPath)} ${why}`);
