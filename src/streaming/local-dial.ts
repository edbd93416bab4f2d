import { connect } from "node:net";
import type { Socket } from "node:net";

/** The pod's process closed the connection before it was handed over. Unlike a refusal, this is not a failure. */
export class ResetAtOnce extends Error {
  constructor() {
    super("connection reset");
  }
}

/** In the order in which they are tried. */
const addresses = ["127.0.0.1", "::1"] as const;
const dialTimeoutMs = 10_000;

const reasons: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["EADDRNOTAVAIL", "address not available"],
  ["ENETUNREACH", "network unreachable"],
  ["ETIMEDOUT", "connection timed out"],
  ["EMFILE", "too many open files"],
]);

/**
 * Why no connection was made, from the error code of each address that was tried. A port that takes a
 * connection and resets it at once gives ResetAtOnce.
 */
export function dialFailure(codes: readonly string[]): Error {
  if (codes.includes("ECONNRESET")) return new ResetAtOnce();
  const tried = codes.map((code, at) => `${addresses[at] ?? ""}: ${reasons.get(code) ?? code}`);
  return new Error(tried.join(", "));
}

/**
 * Connects to a port of this network namespace's loopback, IPv4 first, then IPv6. The socket is
 * paused, so that nothing is read before it has its final owner, and half-open capable. Rejects with
 * what `dialFailure` makes of it, or with the signal's reason.
 */
export async function connectLocalhost(port: number, signal: AbortSignal): Promise<Socket> {
  const codes: string[] = [];
  for (const host of addresses) {
    try {
      return await connectTo(host, port, signal);
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = error as NodeJS.ErrnoException;
      codes.push(code ?? message);
      if (code === "ECONNRESET") break;
    }
  }
  throw dialFailure(codes);
}

function connectTo(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.pause();
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error("connection timed out"), { code: "ETIMEDOUT" }));
    }, dialTimeoutMs);
    const onAbort = (): void => {
      socket.destroy(new Error("the client has gone"));
    };
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
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
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
}
