import { randomBytes } from "node:crypto";
import { closeSync, lstatSync, readlinkSync, renameSync, symlinkSync, unlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import { CriError } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import { openLogFolder, within, type LogPath } from "./log-path.ts";

/** What lies at a path: nothing, a symlink with its target, or something else. */
function linkAt(path: string): "nothing" | "other" | { target: string } {
  try {
    if (!lstatSync(path).isSymbolicLink()) return "other";
    return { target: readlinkSync(path) };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "nothing";
    throw error;
  }
}

/** `<folder>/<id>/<id>-json.log` beside the container of `sourcePath`: a log link of ours, or of dockershim. */
function isContainerLog(target: string, sourcePath: string): boolean {
  const id = basename(dirname(target));
  return (
    dirname(dirname(target)) === dirname(dirname(sourcePath)) &&
    basename(target) === `${id}-json.log`
  );
}

/**
 * Makes the log path a symlink to Docker's file. An older log link (also one to a container that
 * is gone, left by a failed start) is replaced; anything else stays and is FailedPrecondition.
 */
export function makeLogLink(path: LogPath, sourcePath: string): void {
  const folder = openLogFolder(path);
  try {
    const place = within(folder, path.name);
    const found = linkAt(place);
    if (typeof found === "object") {
      if (found.target === sourcePath) return;
      if (!isContainerLog(found.target, sourcePath)) throw occupied(path);
    } else if (found === "other") throw occupied(path);
    const temporary = within(folder, `.dockline-${randomBytes(8).toString("hex")}`);
    symlinkSync(sourcePath, temporary);
    try {
      renameSync(temporary, place);
    } catch (error) {
      removeIfThere(temporary);
      throw error;
    }
  } finally {
    closeSync(folder);
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function occupied(path: LogPath): CriError {
  return new CriError(
    "FailedPrecondition",
    `make container log link ${JSON.stringify(path.full)}: something else has that name`,
  );
}

/** Unlinks the log path only while it is the symlink to `sourcePath`. */
export function removeLogLink(path: LogPath, sourcePath: string): void {
  let folder: number;
  try {
    folder = openLogFolder(path, false);
  } catch (error) {
    if (error instanceof CriError && error.kind === "NotFound") return;
    throw error;
  }
  try {
    const place = within(folder, path.name);
    const found = linkAt(place);
    if (typeof found === "object" && found.target === sourcePath) removeIfThere(place);
  } finally {
    closeSync(folder);
  }
}
