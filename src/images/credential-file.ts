import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { RegistryAuth } from "../engine/image-types.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";

const maxBytes = 1 << 20;

/** What a file says for one repository; `problem` when it could not be asked. */
export interface FoundCredentials {
  auth: RegistryAuth | undefined;
  problem: string | undefined;
}

/**
 * The node's own credentials, for pulls that the kubelet gives none for, and for the pause image. The
 * file is read at each pull and never kept: a rotated secret needs no restart. A file that others
 * may read or that somebody else owns is not used, which is logged and told by a pull that fails.
 */
export function createCredentialFile(deps: {
  /** "" for none. */
  path: string;
  parse(text: string, repository: string): RegistryAuth | undefined;
  log: Logger;
}): (repository: string) => Promise<FoundCredentials> {
  const { path, log } = deps;
  return async (repository) => {
    if (path === "") return { auth: undefined, problem: undefined };
    try {
      return { auth: deps.parse(await readPrivate(path), repository), problem: undefined };
    } catch (error) {
      const problem = `${path}: ${errorText(error)}`;
      log.warn({ problem, repository }, "registry credentials of the node are not used");
      return { auth: undefined, problem };
    }
  };
}

async function readPrivate(path: string): Promise<string> {
  // Without O_NONBLOCK a FIFO of that name would park the open for ever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { uid, mode, size } = await file.stat();
    const bad = (why: string): CriError => new CriError("FailedPrecondition", why);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw bad("not a regular file");
    if (uid !== 0 && uid !== process.geteuid?.()) throw bad("not owned by root: chown root");
    if ((mode & 0o077) !== 0) throw bad("readable by others than its owner: chmod 600");
    if (size > maxBytes) throw bad(`larger than ${maxBytes} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
