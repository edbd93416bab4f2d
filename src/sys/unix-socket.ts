import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { createConnection } from "node:net";
import type { Server } from "node:net";
import { CriError } from "../errors.ts";

/**
 * Makes room for a socket at `path`: one left by a killed process is removed.
 *
 * @param who the server that may be there, as the error names it
 * @throws CriError FailedPrecondition when somebody serves there, or when it is no socket
 */
export async function removeStaleSocket(path: string, who: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CriError("FailedPrecondition", `${path} exists and is not a socket`);
  }
  if (await isServed(path)) {
    throw new CriError("FailedPrecondition", `${who} is serving on ${path}`);
  }
  unlinkSync(path);
}

async function isServed(path: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path });
    probe.setTimeout(2000);
    const end = (result: boolean): void => {
      probe.destroy();
      resolve(result);
    };
    probe.on("connect", () => end(true));
    // A full backlog is somebody alive, too; only "refused" is a file that nobody serves.
    probe.on("timeout", () => end(true));
    probe.on("error", (error: NodeJS.ErrnoException) => end(error.code !== "ECONNREFUSED"));
  });
}

/** Listens with this mode from the socket's first moment on (umask around the bind). */
export async function listenAt(net: Server, path: string, mode: number): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    net.once("error", reject);
    net.once("listening", resolve);
  });
  // The file is made within `listen`; a umask kept for longer would be that of other parts' folders too.
  const previous = process.umask(0o777 & ~mode);
  try {
    net.listen({ path });
  } finally {
    process.umask(previous);
  }
  await listening;
  chmodSync(path, mode);
}
