import { mkdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { dirname } from "node:path";
import { CriError } from "../errors.ts";
import { listenAt, removeStaleSocket } from "../sys/unix-socket.ts";

/** Connections that have not registered yet. */
const MAX_UNREGISTERED = 64;

/** The socket for plugins. */
export interface Door {
  readonly path: string;
  /** No new connections; those that are there stay. The folder and its mounts stay as well. */
  close(): Promise<void>;
}

/**
 * Listens for plugins. Only root may come in: whoever is connected can change every container.
 *
 * @param connected resolves when the connection has registered or has failed to
 * @throws CriError AlreadyExists when another runtime serves there, FailedPrecondition for a folder that others write
 */
export async function openDoor(
  path: string,
  connected: (socket: Socket) => Promise<void>,
): Promise<Door> {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new CriError("InvalidArgument", `nriListen: ${JSON.stringify(path)} is no absolute path`);
  }
  prepareFolder(dirname(path));
  await removeStaleSocket(path);
  let unregistered = 0;
  const net: Server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on("error", () => undefined);
    if (unregistered >= MAX_UNREGISTERED) {
      socket.destroy();
      return;
    }
    unregistered += 1;
    void connected(socket)
      .catch(() => socket.destroy())
      .finally(() => (unregistered -= 1));
  });
  await listenAt(net, path, 0o600);
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        net.close(() => resolve());
        // Plugins that are still connected are closed one by one.
        resolve();
      }),
  };
}

/** Plugins in pods have the folder mounted: it is made once and never removed. */
function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = statSync(folder);
  const isForeign = uid !== 0 && uid !== process.getuid?.();
  if (isForeign || (mode & 0o022) !== 0) {
    throw new CriError(
      "FailedPrecondition",
      `nriListen: folder ${folder} can be written by others than root`,
    );
  }
}
