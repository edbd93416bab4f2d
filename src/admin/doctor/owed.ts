import { count } from "../report.ts";
import type { NodeFacts, OwedFacts } from "./facts.ts";
import { ok, podText, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** How many of a kind are named. */
const shown = 3;
const check = "owed";

/** What Dockline still has to do for pods and containers, and cannot do. */
export function checkOwed(node: NodeFacts): Finding[] {
  const { owed } = node;
  if (owed === "unreadable") return [skipped(check, "only root can read Dockline's folders")];
  const findings = [...owedByPods(owed), ...unusableRecords(owed), ...owedLimits(owed, node)];
  return findings.length > 0 ? findings : [ok(check, "no pod or container waits for Dockline")];
}

function owedByPods({ pods }: OwedFacts): Finding[] {
  const [first] = pods;
  if (first === undefined) return [];
  const named = pods.slice(0, shown).map(podText);
  return [
    warning(
      check,
      `CNI DEL fails for ${count(pods.length, "pod")}: ${named.join("; ")}${pods.length > shown ? "; …" : ""}`,
      "each stays Terminating and keeps its address until DEL works. Correct the plugin; the kubelet tries again by " +
        `itself. What can never work again is given up by hand. The last reason: ${first.failure}`,
      ...pods
        .slice(0, shown)
        .map(({ pod }) => `dockline release ${pod}   # shows it; --apply gives it up`),
    ),
  ];
}

function unusableRecords({ records }: OwedFacts): Finding[] {
  if (records.length === 0) return [];
  const named = records.slice(0, shown).map(({ path, trouble }) => `${path} (${trouble})`);
  return [
    warning(
      check,
      `${count(records.length, "pod record")} cannot be used: ${named.join("; ")}${records.length > shown ? "; …" : ""}`,
      "what such a pod owes to its network plugin is not known, so its address may stay in use. A record of a newer version " +
        "needs that version again; a damaged one can go once its pod is gone and the address is free in the plugin's own store",
      ...records.slice(0, shown).map(({ path }) => `rm ${path}   # once its pod is gone`),
    ),
  ];
}

function owedLimits({ limits }: OwedFacts, { server }: NodeFacts): Finding[] {
  if (limits.length === 0) return [];
  const ids = limits.slice(0, shown).map((id) => id.slice(0, 12));
  return [
    warning(
      check,
      `running without all limits: ${count(limits.length, "container")} (${ids.join(", ")}${limits.length > shown ? ", …" : ""})`,
      "these limits are written after the start, and were not within a minute" +
        (server === undefined ? "; Dockline does so when it starts" : ""),
      server === undefined
        ? "systemctl start dockline"
        : "systemctl restart dockline   # disturbs no pod; writes them",
      "journalctl -u dockline -n 50",
    ),
  ];
}
