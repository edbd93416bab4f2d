import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

export function checkForward({ forward, ipForward, daemon, engine }: NodeFacts): Finding {
  const check = "forward";
  const dropped = [
    ...(forward.ipv4 === "DROP" ? (["iptables"] as const) : []),
    ...(forward.ipv6 === "DROP" ? (["ip6tables"] as const) : []),
  ];
  if (dropped.length > 0) {
    const families = dropped.map((tool) => (tool === "iptables" ? "IPv4" : "IPv6")).join(" and ");
    // Docker learned to leave the policy alone in 28 (API 1.48).
    const lasting =
      engine === undefined || engine.api[1] >= 48
        ? `in ${daemon.path}: "ip-forward-no-drop": true`
        : "in docker.service: ExecStartPost=/usr/sbin/iptables -P FORWARD ACCEPT";
    return error(
      check,
      `the FORWARD chain drops ${families} packets from other hosts to pods`,
      "pods of other nodes and clients of host ports get no answer, and nothing logs it. " +
        "Docker sets it when it starts; the last line keeps it from doing so",
      ...dropped.map((tool) => `${tool} -P FORWARD ACCEPT`),
      lasting,
    );
  }
  if (ipForward === false) {
    return warning(
      check,
      "net.ipv4.ip_forward is 0",
      "packets of pods do not leave the node. Network plugins turn it on with the first pod: " +
        "with pods on the node, something turned it off again",
      "sysctl -w net.ipv4.ip_forward=1",
      "in /etc/sysctl.d/90-kubernetes.conf: net.ipv4.ip_forward = 1",
    );
  }
  if (forward.ipv4 === "unknown" && forward.ipv6 === "unknown") {
    return skipped(check, "iptables cannot be read (not root, or not installed)");
  }
  return ok(
    check,
    `packets from other hosts reach pods (IPv4 ${forward.ipv4}, IPv6 ${forward.ipv6})`,
  );
}
