import { isIP } from "node:net";
import type { AddressInfo } from "node:net";
import { invalidArgument } from "../errors.ts";

export interface ListenAddress {
  host: string;
  port: number;
  /** True when only processes of this machine can connect. */
  loopback: boolean;
}

/** Reads "127.0.0.1:0", "[::1]:10010", "localhost:0" or ":10010" (all addresses). */
export function parseListenAddress(text: string): ListenAddress {
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw invalidArgument(`streaming address "${text}" is not host:port`);
  }
  if (host === "localhost") return { host: "127.0.0.1", port, loopback: true };
  if (host === "") return { host: "::", port, loopback: false };
  const version = isIP(host);
  if (version === 0) throw invalidArgument(`streaming address "${text}" has no IP address`);
  const loopback = version === 4 ? host.startsWith("127.") : /^(0*:)+0*1$/.test(host);
  return { host, port, loopback };
}

/** Where the kubelet, on the same machine, reaches the server. */
export function urlHost(address: AddressInfo): string {
  const host =
    address.address === "::" || address.address === "0.0.0.0" ? "127.0.0.1" : address.address;
  return isIP(host) === 6 ? `[${host}]:${address.port}` : `${host}:${address.port}`;
}
