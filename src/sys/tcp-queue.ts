import { readFile } from "node:fs/promises";

/** A TCP connection of this process, by the ports of its two ends. */
export interface TcpEnds {
  readonly localPort?: number | undefined;
  readonly remotePort?: number | undefined;
}

/**
 * Bytes that the kernel holds for the other end of a connection: not sent, not acknowledged, or, where
 * the other end is on this machine, not read by it. They tell more than writes do: a socket takes more
 * only when a third of a buffer of megabytes is free, and acknowledges in leaps on the loopback, which
 * takes a slow reader many seconds. 0 when the connection is not in the kernel's tables.
 */
export async function untakenBytes({ localPort, remotePort }: TcpEnds): Promise<number> {
  if (localPort === undefined || remotePort === undefined) return 0;
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((table) => readFile(`/proc/self/net/${table}`, "latin1").catch(() => "")),
  );
  const text = tables.join("");
  const ours = find(text, `([0-9A-F]+):${hex(localPort)} ([0-9A-F]+):${hex(remotePort)}`);
  if (ours === null) return 0;
  const [, local = "", remote = "", notSent] = ours;
  // The same IPv4 address ends alike in both tables.
  const [from, to] = [remote, local].map((address) => `[0-9A-F]*${address.slice(-8)}`);
  const theirs = find(text, `${from}:${hex(remotePort)} ${to}:${hex(localPort)}`);
  return Number.parseInt(notSent ?? "0", 16) + Number.parseInt(theirs?.at(-1) ?? "0", 16);
}

/** The line of a connection; its last two groups are what is queued for sending and for reading. */
function find(text: string, ends: string): RegExpExecArray | null {
  return new RegExp(`^ *\\d+: ${ends} [0-9A-F]{2} ([0-9A-F]{8}):([0-9A-F]{8}) `, "m").exec(text);
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}
