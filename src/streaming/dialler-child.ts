import { connect } from "node:net";
import type { Socket } from "node:net";

/** What the session asks its helper; `id` comes back with the answer. */
export interface DialRequest {
  id: number;
  port: number;
}

/** The connected socket travels beside the message when there is no error. */
export interface DialAnswer {
  id: number;
  error?: string;
  /** The port took the connection and reset it at once. */
  reset?: boolean;
}

/** The pod's process ended the connection before it was handed over; unlike a refusal, no failure. */
export class ResetAtOnce extends Error {
  constructor() {
    super("connection reset");
  }
}

const addresses = ["127.0.0.1", "::1"] as const;
const dialTimeoutMs = 10_000;

/**
 * Connects to a port of this network namespace's loopback, IPv4 first, then IPv6. The socket is
 * paused, so that nothing is read before it has its final owner, and half-open capable.
 */
export async function connectLocalhost(port: number): Promise<Socket> {
  const failures: string[] = [];
  for (const host of addresses) {
    try {
      return await connectTo(host, port);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ECONNRESET") throw new ResetAtOnce();
      failures.push(`${host}: ${reasons.get(code ?? "") ?? message}`);
    }
  }
  throw new Error(failures.join(", "));
}

const reasons: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["EADDRNOTAVAIL", "address not available"],
  ["ENETUNREACH", "network unreachable"],
  ["ETIMEDOUT", "connection timed out"],
]);

function connectTo(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.pause();
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error("connection timed out"), { code: "ETIMEDOUT" }));
    }, dialTimeoutMs);
    const settle = (): void => {
      clearTimeout(timer);
      socket.off("error", onError);
      socket.off("connect", onConnect);
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    const onConnect = (): void => {
      settle();
      // Between here and its next owner an error only means that it will be found dead.
      socket.on("error", () => undefined);
      resolve(socket);
    };
    socket.on("error", onError);
    socket.on("connect", onConnect);
  });
}

/**
 * The helper process of a port-forward session: started inside the pod's network namespace, which
 * Node cannot enter by itself, it dials and hands connected sockets to its parent. It lives as long
 * as the IPC channel, so a killed parent leaves nothing behind.
 */
export function runDiallerChild(): void {
  if (process.send === undefined) {
    process.exitCode = 2;
    return;
  }
  process.on("disconnect", () => process.exit(0));
  process.on("message", (message) => {
    const { id, port } = message as DialRequest;
    connectLocalhost(port).then(
      (socket) => answer({ id }, socket),
      (error: unknown) => {
        answer({ id, error: (error as Error).message, reset: error instanceof ResetAtOnce });
      },
    );
  });
}

function answer(message: DialAnswer, socket?: Socket): void {
  if (!process.connected) return;
  process.send?.(message, socket, { keepOpen: false }, (error) => {
    // The parent has gone, or is going.
    if (error !== null) socket?.destroy();
  });
}
