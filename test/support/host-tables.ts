import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

/** A kernel that was started without IPv6 has no tables for it. */
const hasIpv6 = existsSync("/proc/sys/net/ipv6");
const tools = hasIpv6 ? ["iptables", "ip6tables"] : ["iptables"];

/** Runs a program of the host to its end; throws when it fails. */
export const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
export const attempt = (program: string, ...args: string[]): void => {
  try {
    run(program, ...args);
  } catch {
    // Clean-up of what may not be there.
  }
};

/** Everything of a pod that plugins leave in the host's tables; their own empty chains may stay. */
export const podRules = (marks: readonly string[]): string[] =>
  tools
    .flatMap((tool) => [
      ...run(tool, "-S").split("\n"),
      ...run(tool, "-t", "nat", "-S").split("\n"),
    ])
    .filter((line) => marks.some((mark) => line.includes(mark)));

/** Removes the chains that all pods share, unless some pod is there and uses them. */
export function removeSharedChains(): void {
  const podRule = /^-A (CNI-FORWARD -[sd]|CNI-HOSTPORT-DNAT|POSTROUTING .*id: )/m;
  if (podRule.test(run("iptables-save") + (hasIpv6 ? run("ip6tables-save") : ""))) return;
  removeRules("nat", (line) => /^-[AN] .*CNI-/.test(line));
  removeRules("filter", (line) => /^-[AN] .*CNI-(FORWARD|ADMIN)/.test(line));
}

/** Removes the rules and chains of a table that `chosen` picks, and the chains that they lead to. */
export function removeRules(table: string, chosen: (line: string) => boolean): void {
  for (const tool of tools) {
    const lines = run(tool, "-t", table, "-S").split("\n").filter(chosen);
    const chains = new Set<string>();
    for (const line of lines) {
      const words = (line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map((word) =>
        word.startsWith('"') ? word.slice(1, -1).replaceAll(/\\(.)/g, "$1") : word,
      );
      if (words[0] === "-N") chains.add(words[1]!);
      else run(tool, "-t", table, "-D", ...words.slice(1));
      const target = words[words.indexOf("-j") + 1]!;
      if (words[0] === "-A" && target.startsWith("CNI-")) chains.add(target);
    }
    for (const action of ["-F", "-X"]) {
      for (const chain of chains) attempt(tool, "-t", table, action, chain);
    }
  }
}
