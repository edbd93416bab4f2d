import { access, constants, stat, statfs } from "node:fs/promises";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { isErrno } from "../../sys/fs.ts";
import type { DiskFacts, SocketFacts } from "./facts.ts";

const connectMs = 2_000;

/** A folder that is not there yet is judged by the nearest that is. */
export async function readDisk(path: string, what: string, images: boolean): Promise<DiskFacts> {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { blocks, bavail, bsize, files, ffree } = await statfs(folder);
  let readOnly = false;
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    readOnly = isErrno(error, "EROFS");
  }
  return {
    path,
    what,
    images,
    freeBytes: bavail * bsize,
    freeBytesShare: blocks === 0 ? 1 : bavail / blocks,
    // btrfs and others make inodes as they are needed and count none.
    freeInodesShare: files === 0 ? undefined : ffree / files,
    readOnly,
  };
}

export async function readSocket(path: string): Promise<SocketFacts> {
  try {
    const { mode, gid } = await stat(path);
    const known = { path, mode: mode & 0o7777, group: groupName(gid) };
    const reply = await answers(path);
    return reply === "denied"
      ? { ...known, answers: false, denied: true }
      : { ...known, answers: reply };
  } catch (error) {
    const missing: SocketFacts = { path, mode: undefined, group: "", answers: false };
    if (isErrno(error, "ENOENT", "ENOTDIR")) return missing;
    if (isErrno(error, "EACCES")) return { ...missing, denied: true };
    throw error;
  }
}

async function answers(path: string): Promise<boolean | "denied"> {
  return await new Promise((resolve) => {
    const socket = connect({ path });
    const end = (result: boolean | "denied"): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(connectMs, () => end(false));
    socket.once("connect", () => end(true));
    socket.on("error", (error) => end(isErrno(error, "EACCES") ? "denied" : false));
  });
}

function groupName(gid: number): string {
  try {
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((entry) => entry.split(":")[2] === String(gid));
    return line?.split(":")[0] ?? String(gid);
  } catch {
    return String(gid);
  }
}
