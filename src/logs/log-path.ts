import { closeSync, constants, fchmodSync, fstatSync, mkdirSync, openSync } from "node:fs";
import { isAbsolute, join, normalize } from "node:path";
import { CriError, errorText, invalidArgument } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";

/** A log path that lies within its folder by name; symlinks are met when it is opened. */
export interface LogPath {
  directory: string;
  /** Folders below `directory`, then the file's name. */
  folders: string[];
  name: string;
  /** The whole, for messages. */
  full: string;
}

const LONGEST_NAME = 255;
const LONGEST_PATH = 4095;

/**
 * Joins PodSandboxConfig.log_directory and ContainerConfig.log_path. InvalidArgument when the result
 * is not a name within the folder or could not be a file's name on Linux.
 */
export function resolveLogPath(logDirectory: string, logPath: string): LogPath {
  const shown = JSON.stringify(logPath.slice(0, 120));
  if (!isAbsolute(logDirectory) || logDirectory.includes("\0"))
    throw invalidArgument(
      `log directory ${JSON.stringify(logDirectory.slice(0, 120))} is not an absolute path`,
    );
  if (logPath === "" || logPath.includes("\0"))
    throw invalidArgument(`log path ${shown} is not the name of a file`);
  const directory = normalize(logDirectory).replace(/\/+$/, "") || "/";
  const full = join(directory, logPath);
  const prefix = directory === "/" ? "/" : `${directory}/`;
  if (!full.startsWith(prefix) || full === prefix || full.endsWith("/"))
    throw invalidArgument(`log path ${shown} does not lie within its log directory`);
  const folders = full.slice(prefix.length).split("/");
  const tooLong =
    Buffer.byteLength(full) > LONGEST_PATH ||
    folders.some((part) => Buffer.byteLength(part) > LONGEST_NAME);
  const name = folders.pop();
  if (tooLong || name === undefined)
    throw invalidArgument(`log path ${shown} is longer than the system allows`);
  return { directory, folders, name, full };
}

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** `name` within an open folder: what openat(2) would reach, whatever was renamed meanwhile. */
export function within(folder: number, name: string): string {
  return `/proc/self/fd/${String(folder)}/${name}`;
}

function openFolder(path: string, make: boolean): number {
  try {
    return openSync(path, FOLDER);
  } catch (error) {
    if (!make || !isErrno(error, "ENOENT")) throw error;
  }
  // The kubelet makes these folders with 0755; other clients of the CRI leave it to the runtime.
  try {
    mkdirSync(path, { recursive: !path.startsWith("/proc/"), mode: 0o755 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  return openSync(path, FOLDER);
}

/**
 * Opens the folder that holds the log file; with `make`, making what is missing. The log directory and all below
 * it must be real folders: a pod that may write to /var/log could otherwise have us write anywhere.
 * Each step starts from the open folder before it, so a swap between check and use has no effect.
 * What lies above the log directory is the node's own layout and may hold symlinks.
 */
export function openLogFolder(path: LogPath, make = true): number {
  let folder: number | undefined;
  try {
    folder = openFolder(path.directory, make);
    for (const name of path.folders) {
      const next = openFolder(within(folder, name), make);
      closeSync(folder);
      folder = next;
    }
    return folder;
  } catch (error) {
    if (folder !== undefined) closeSync(folder);
    throw pathError("open the folder of", path, error);
  }
}

function pathError(action: string, path: LogPath, error: unknown): CriError {
  const what = `${action} container log ${JSON.stringify(path.full)}`;
  if (error instanceof CriError) return error;
  if (isErrno(error, "ELOOP", "ENOTDIR", "EISDIR", "ENXIO"))
    return invalidArgument(`${what}: a part of it is a symlink or of another kind`);
  if (isErrno(error, "ENOENT")) return new CriError("NotFound", `${what}: ${errorText(error)}`);
  const kind = isErrno(error, "ENOSPC", "EDQUOT") ? "ResourceExhausted" : "Internal";
  return new CriError(kind, `${what}: ${errorText(error)}`, { cause: error });
}

// O_NONBLOCK: a FIFO planted under the name must not park the thread.
const APPEND = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Opens the CRI log file for appending, 0640; with `make`, making it and its folders when missing.
 *
 * @throws NotFound without `make`; InvalidArgument when it is no regular file
 */
export function openLogFile(path: LogPath, make = true): number {
  const folder = openLogFolder(path, make);
  let file: number | undefined;
  try {
    const flags = make ? APPEND | constants.O_CREAT : APPEND;
    file = openSync(within(folder, path.name), flags, 0o640);
    const found = fstatSync(file);
    if (!found.isFile())
      throw invalidArgument(`container log ${JSON.stringify(path.full)} is not a regular file`);
    if ((found.mode & 0o777) !== 0o640) fchmodSync(file, 0o640);
    return file;
  } catch (error) {
    if (file !== undefined) closeSync(file);
    throw pathError("open", path, error);
  } finally {
    closeSync(folder);
  }
}
