import { constants } from "node:fs";
import { lstat, mkdir, open, readlink, stat } from "node:fs/promises";
import { isErrno } from "./fs.ts";

/** What is at a path: a link with its text, a folder, or anything else. */
export type Found = { readonly link: string } | "folder" | "other";

/** The file system calls that a host path of a request needs. Errors are Node's, with `code` and `errno`. */
export interface PathCalls {
  /** Follows no link at the path itself. */
  look(path: string): Promise<Found>;
  /** Makes one folder with mode 0755; one that is there already is as good. */
  makeFolder(path: string): Promise<void>;
  /** Makes what is missing of a path that leads through a link of /proc to another root. */
  makeFolders(path: string): Promise<void>;
}

/** The calls in this process: in a thread that a file system that hangs keeps. */
export const ownPathCalls: PathCalls = {
  look: async (path) => {
    const found = await lstat(path);
    if (found.isSymbolicLink()) return { link: await readlink(path) };
    return found.isDirectory() ? "folder" : "other";
  },
  makeFolder: async (path) => {
    try {
      await mkdir(path, 0o755);
    } catch (error) {
      if (isErrno(error, "EEXIST")) return;
      throw error;
    }
    await widen(path);
  },
  makeFolders: async (path) => {
    try {
      await stat(path);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      await mkdir(path, { recursive: true, mode: 0o755 });
    }
  },
};

/** A umask takes bits away. By descriptor: the name may be another thing's by now. */
async function widen(path: string): Promise<void> {
  const folder = await open(
    path,
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  );
  try {
    const { mode } = await folder.stat();
    if ((mode & 0o755) !== 0o755) await folder.chmod((mode & 0o7777) | 0o755);
  } finally {
    await folder.close();
  }
}
