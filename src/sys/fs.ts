import { constants, readFileSync } from "node:fs";
import { open, rename, unlink, readFile, readdir, mkdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { errorText } from "../errors.ts";

/** True for an error with one of these `errno` codes ("ENOENT", …). */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" && codes.includes(code);
}

/**
 * Writes a whole file so that readers, and the next start after a `kill -9` or a power cut, see the
 * old content or the new one and never a part: temporary file beside it, fsync, rename, fsync of the
 * folder. `mode` is the file's mode whatever the umask.
 * Without `sync` only a power cut can bring the old content, or none, back.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  mode = 0o600,
  sync = true,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(
    temporary,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    mode,
  );
  try {
    await file.chmod(mode);
    await file.writeFile(data);
    if (sync) await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    // A write does not say what was written.
    const { code } = error as NodeJS.ErrnoException;
    throw Object.assign(new Error(`${path}: ${errorText(error)}`, { cause: error }), { code });
  }
  if (!sync) return;
  const folder = await open(dirname(path), constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes what writeFileAtomic left of `path` when a kill interrupted it. */
export async function removeUnfinished(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    const half = name.startsWith(`.${basename(path)}.`) && name.endsWith(".tmp");
    if (half) await unlinkIfExists(join(folder, name));
  }
}

/** A file of /proc or of a cgroup; undefined when it is gone, or belongs to somebody whose files we may not read. */
export function readProcessFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // ENODEV, ENOTSUP: cgroup.procs of a cgroup that is gone, or is threaded.
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "ENODEV", "ENOTSUP")) return undefined;
    throw error;
  }
}

/** Names in a folder, in no order; none where there is no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/**
 * The file's text, or undefined when there is none, also of a process that ended between the open and
 * the read. Other errors are thrown.
 */
export async function readTextIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ESRCH")) return undefined;
    throw error;
  }
}

/** Removes a file; one that is not there is as good. */
export async function unlinkIfExists(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
  }
}

/** Makes a folder of ours with `mode` and corrects a looser one left by an older version (T28). */
export async function ensurePrivateFolder(path: string, mode = 0o700): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  const found = await stat(path);
  if ((found.mode & 0o777 & ~mode) !== 0) {
    const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.chmod(mode);
    } finally {
      await folder.close();
    }
  }
}
