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
  /** No new connections; those that have begun stay. The folder and its mounts stay as well. */
  close(): Promise<void>;
}

/**
 * Listens for plugins. Only root may come in: whoever is connected can change every container.
 *
 * @param firstByteMs after which a connection that says nothing is ended
 * @param connected for a connection that has begun to speak: one that only looks whether somebody listens is no
 *   plugin. Resolves when it has registered or has failed to
 * @throws CriError AlreadyExists when another runtime serves there, FailedPrecondition for a folder that others write
 */
export async function openDoor(
  path: string,
  firstByteMs: number,
  connected: (socket: Socket) => Promise<void>,
): Promise<Door> {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new CriError("InvalidArgument", `nriListen: ${JSON.stringify(path)} is no absolute path`);
  }
  prepareFolder(dirname(path));
  await removeStaleSocket(path, "somebody else");
  let unregistered = 0;
  const silent = new Set<Socket>();
  const net: Server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on("error", () => undefined);
    if (unregistered >= MAX_UNREGISTERED) {
      socket.destroy();
      return;
    }
    unregistered += 1;
    silent.add(socket);
    void firstByte(socket, firstByteMs)
      .finally(() => silent.delete(socket))
      .then(async (speaks) => {
        if (speaks) await connected(socket);
      })
      .catch(() => socket.destroy())
      .finally(() => (unregistered -= 1));
  });
  await listenAt(net, path, 0o600);
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        net.close(() => resolve());
        for (const socket of silent) socket.destroy();
        // Plugins that are still connected are closed one by one.
        resolve();
      }),
  };
}

/** False for one that ended, or was ended, without a word. What has come is still to be read; the socket is paused. */
async function firstByte(socket: Socket, withinMs: number): Promise<boolean> {
  return await new Promise((resolve) => {
    socket.setTimeout(withinMs, () => socket.destroy());
    socket.once("close", () => resolve(false));
    socket.once("data", (chunk: Buffer) => {
      socket.pause();
      socket.setTimeout(0);
      socket.unshift(chunk);
      resolve(true);
    });
    socket.resume();
  });
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
