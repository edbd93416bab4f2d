import { mkdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import type { Server as NetServer, Socket } from "node:net";
import { dirname } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { CriError } from "../errors.ts";
import { listenAt, removeStaleSocket } from "../sys/unix-socket.ts";

/** A CRI endpoint that accepts calls. */
export interface Listener {
  /** Path of the unix socket; undefined when it was inherited. */
  readonly path: string | undefined;
  /** Stops accepting, lets running calls end for up to `graceMs`, then cuts the rest. */
  close(graceMs: number): Promise<void>;
}

/** 16 MiB is what the kubelet accepts; large secrets and environments come the other way. */
const messageLimit = 16 * 1024 * 1024;

/** How long the last answers may take to reach their callers once the handlers are done. */
const answerMs = 500;

export function createGrpcServer(): Server {
  return new Server({
    "grpc.max_receive_message_length": messageLimit,
    "grpc.max_send_message_length": -1,
    // No limit of concurrent streams, as with containerd and CRI-O: the kubelet has one connection, on
    // which each stop holds a stream for its grace period, and Status must not wait for one of them.
    // Statistics of every call that nobody reads.
    "grpc.enable_channelz": 0,
  });
}

/**
 * Listens on `unix:///path` or, with `fd://`, on the first socket that systemd passed. The file is
 * 0660 root from its first moment (umask around listen); one left by a killed process is replaced,
 * one that answers means another instance: FailedPrecondition.
 */
export async function listen(
  server: Server,
  endpoint: string,
  inFlight: () => number,
): Promise<Listener> {
  const credentials = ServerCredentials.createInsecure();
  const injector = server.createConnectionInjector(credentials);
  const sockets = new Set<Socket>();
  const net = createServer({ pauseOnConnect: false }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    injector.injectConnection(socket);
  });
  const path = await startListening(net, endpoint);
  return {
    path,
    close: async (graceMs) => {
      const closed = new Promise<void>((resolve) => {
        net.close(() => resolve());
      });
      // An injected server's tryShutdown returns while calls still run (Node 24), so count them here.
      // GOAWAY first, so that a client with a new call goes elsewhere.
      injector.drain(graceMs);
      const end = performance.now() + graceMs;
      while (inFlight() > 0 && performance.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      // A handler that is done has not yet been heard: its answer may still wait to be written. The
      // sessions close by themselves behind their last answer.
      const heard = performance.now() + answerMs;
      while (sockets.size > 0 && performance.now() < heard) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      server.forceShutdown();
      injector.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function startListening(net: NetServer, endpoint: string): Promise<string | undefined> {
  if (endpoint === "fd://") {
    await new Promise<void>((resolve, reject) => {
      net.once("error", reject);
      net.listen({ fd: inheritedSocket() }, resolve);
    });
    return undefined;
  }
  const path = unixPath(endpoint);
  prepareFolder(dirname(path));
  await removeStaleSocket(path, "another instance");
  await listenAt(net, path, 0o660);
  return path;
}

/** `unix:///run/x.sock`, or a bare absolute path, as the kubelet's own flag accepts. */
export function unixPath(endpoint: string): string {
  const path = endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : endpoint;
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new CriError(
      "InvalidArgument",
      `endpoint ${JSON.stringify(endpoint)}: want unix:///absolute/path or fd://`,
    );
  }
  return path;
}

function inheritedSocket(): number {
  const count = Number(process.env["LISTEN_FDS"] ?? "0");
  const pid = process.env["LISTEN_PID"];
  if (count < 1 || (pid !== undefined && pid !== String(process.pid))) {
    throw new CriError("FailedPrecondition", "endpoint fd://: no socket was passed (LISTEN_FDS)");
  }
  return 3;
}

/** Whoever may write the folder could put a socket of their own in our place (T1). */
function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  const { mode, uid } = statSync(folder);
  if (uid !== 0 && uid !== process.getuid?.()) {
    throw new CriError("FailedPrecondition", `socket folder ${folder} belongs to user ${uid}`);
  }
  if ((mode & 0o002) !== 0 && (mode & 0o1000) === 0) {
    throw new CriError("FailedPrecondition", `socket folder ${folder} is writable by everybody`);
  }
}
