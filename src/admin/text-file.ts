import { chown, mkdir, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { isErrno, readTextIfExists, writeFileAtomic } from "../sys/fs.ts";

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
