import { existsSync, readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { readTextIfExists } from "../sys/fs.ts";

/**
 * Addresses of a process's network namespace without entering it: /proc shows them. For pods whose
 * CNI result nobody kept (a lost state folder, cri-dockerd without its cache). IPv4 first, loopback
 * and link-local left out.
 */
export async function addressesOfProcess(pid: number): Promise<string[]> {
  const [trie, inet6] = await Promise.all([
    readTextIfExists(`/proc/${pid}/net/fib_trie`),
    readTextIfExists(`/proc/${pid}/net/if_inet6`),
  ]);
  return [...parseFibTrie(trie ?? ""), ...parseIfInet6(inet6 ?? "")];
}

/** The same at once, for a look in the middle of an answer; undefined when they cannot be read. */
export function addressesNow(pid: number): string[] | undefined {
  try {
    const trie = readFileSync(`/proc/${pid}/net/fib_trie`, "utf8");
    const inet6 = existsSync("/proc/sys/net/ipv6")
      ? readFileSync(`/proc/${pid}/net/if_inet6`, "utf8")
      : "";
    return [...parseFibTrie(trie), ...parseIfInet6(inet6)];
  } catch {
    return undefined;
  }
}

/** As /proc has them: plugins spell IPv6 addresses in more than one way. */
export function canonicalAddress(address: string): string {
  return isIPv6(address) ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

/** Local addresses are the leaves marked "/32 host LOCAL", each below the line with its number. */
export function parseFibTrie(text: string): string[] {
  const found = new Set<string>();
  let address = "";
  for (const line of text.split("\n")) {
    const leaf = /\|-- (\d+\.\d+\.\d+\.\d+)/.exec(line);
    if (leaf?.[1] !== undefined) address = leaf[1];
    else if (line.includes("/32 host LOCAL") && !address.startsWith("127.")) found.add(address);
  }
  return [...found];
}

/** 32 hex digits, index, prefix, scope (00 is global), flags, interface. */
export function parseIfInet6(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [hex = "", , , scope, , name] = line.trim().split(/\s+/);
    if (hex.length !== 32 || scope !== "00" || name === "lo") return [];
    const groups = hex.match(/.{4}/g) ?? [];
    // The URL parser writes IPv6 in its short canonical form.
    return [new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1)];
  });
}
