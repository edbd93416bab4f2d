import { accessSync, closeSync, constants, existsSync, openSync, realpathSync } from "node:fs";
import { chown, mkdir, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errorText } from "../errors.ts";
import { isErrno, readTextIfExists, writeFileAtomic } from "../sys/fs.ts";

export interface TextFile {
  path: string;
  text: string;
}

/** The file's text; undefined for one that is not there or has nothing in it, as Docker reads it. */
export async function readOrEmpty(path: string): Promise<string | undefined> {
  const text = await readTextIfExists(path);
  return text?.trim() === "" ? undefined : text;
}

/** In one step; mode and owner stay, and a link keeps pointing to the file. */
export async function replaceText(path: string, text: string): Promise<void> {
  let target = path;
  let before: { mode: number; uid: number; gid: number } = { mode: 0o644, uid: 0, gid: 0 };
  try {
    target = await realpath(path);
    before = await stat(target);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    await mkdir(dirname(path), { recursive: true });
  }
  await writeFileAtomic(target, text, before.mode & 0o777);
  const { uid, gid } = await stat(target);
  if (uid !== before.uid || gid !== before.gid) await chown(target, before.uid, before.gid);
}

/** Why `replaceText` cannot write a file, or nobody a copy beside it, as far as that shows beforehand. */
export function writeTrouble(path: string): string | undefined {
  let folder = dirname(path);
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    // The slash makes an error of what is no folder.
    accessSync(`${folder}/`, constants.W_OK);
    if (!existsSync(path)) return undefined;
    const target = realpathSync(path);
    accessSync(dirname(target), constants.W_OK);
    openForWriting(target);
  } catch (error) {
    return errorText(error);
  }
  return undefined;
}

/** Tells of an immutable file; the mode is of no matter, since a new file takes the place. */
function openForWriting(path: string): void {
  try {
    closeSync(openSync(path, "r+"));
  } catch (error) {
    if (!isErrno(error, "EACCES")) throw error;
  }
}
