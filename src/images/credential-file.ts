import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { RegistryAuth } from "../engine/image-types.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { isErrno } from "../sys/fs.ts";

const maxBytes = 1 << 20;

/** What a file says for one repository; `problem` when it could not be asked. */
export interface FoundCredentials {
  auth: RegistryAuth | undefined;
  problem: string | undefined;
}

/** The node's credentials for a repository. */
export type Credentials = (repository: string) => Promise<FoundCredentials>;

/**
 * The node's own credentials, for pulls that the kubelet gives none for, and for the pause image. The
 * file is read at each pull and never kept: a rotated secret needs no restart. A file that others
 * may read or that somebody else owns is not used, which is logged and told by a pull that fails.
 */
export function createCredentialFile(deps: {
  /** "" for none. */
  path: string;
  parse(text: string, repository: string): RegistryAuth | undefined;
  /** A file of Docker's client: it need not be there, and is as secret as its owner left it. */
  ofDocker?: boolean;
  log: Logger;
}): Credentials {
  const { path, ofDocker = false, log } = deps;
  return async (repository) => {
    if (path === "") return nothing;
    try {
      const text = await readOwn(path, ofDocker ? "write" : "read");
      return { auth: deps.parse(text, repository), problem: undefined };
    } catch (error) {
      if (ofDocker && isErrno(error, "ENOENT", "ENOTDIR")) return nothing;
      const problem = `${path}: ${errorText(error)}`;
      log.warn({ problem, repository }, "registry credentials of the node are not used");
      return { auth: undefined, problem };
    }
  };
}

/** The first that has credentials counts; the problem told is that of the first that had one. */
export function firstWithCredentials(sources: readonly Credentials[]): Credentials {
  return async (repository) => {
    let problem: string | undefined;
    for (const source of sources) {
      const found = await source(repository);
      if (found.auth !== undefined) return found;
      problem ??= found.problem;
    }
    return { auth: undefined, problem };
  };
}

const nothing: FoundCredentials = { auth: undefined, problem: undefined };

/** @param guarded what nobody but the owner may do with it */
async function readOwn(path: string, guarded: "read" | "write"): Promise<string> {
  // Without O_NONBLOCK a FIFO of that name would block the open forever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { uid, mode, size } = await file.stat();
    const bad = (why: string): CriError => new CriError("FailedPrecondition", why);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw bad("not a regular file");
    if (uid !== 0 && uid !== process.geteuid?.()) throw bad("not owned by root: chown root");
    if (guarded === "read" && (mode & 0o077) !== 0)
      throw bad("readable by others than its owner: chmod 600");
    if ((mode & 0o022) !== 0) throw bad("writable by others than its owner: chmod 600");
    if (size > maxBytes) throw bad(`larger than ${maxBytes} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
