import { stat } from "node:fs/promises";
import { invalidArgument } from "../errors.ts";
import { EngineError } from "./errors.ts";

/**
 * The socket path of a `unix://` endpoint. Others are refused: whoever answers there may start
 * privileged containers, and only the file system's permissions protect a local socket.
 */
export function socketPathOf(endpoint: string): string {
  const path = endpoint.startsWith("unix://") ? endpoint.slice("unix://".length) : undefined;
  if (path === undefined) {
    throw invalidArgument(
      `docker endpoint ${JSON.stringify(endpoint)}: only unix:// sockets of this host are supported`,
    );
  }
  if (!path.startsWith("/") || path.includes("\0")) {
    throw invalidArgument(
      `docker endpoint ${JSON.stringify(endpoint)}: the socket's absolute path is missing`,
    );
  }
  return path;
}

/**
 * Refuses a socket that another user could have put there to pose as the engine. A missing one is
 * left to the connect that follows.
 */
export async function checkSocketOwner(path: string, operation: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  if (found.uid !== 0 && found.uid !== process.getuid?.()) {
    const message = `${operation}: ${path} belongs to user ${found.uid}, not to root`;
    throw new EngineError({ failure: "protocol", operation, message });
  }
}
