import { count } from "../report.ts";
import type { NodeFacts } from "./facts.ts";
import { ok, podText, skipped, warning } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** How many are named. */
const shown = 3;

/** Addresses of pods that are gone, which their plugin may still hold: Dockline has given CNI DEL up. */
export function checkGivenUp({ givenUp }: NodeFacts): Finding {
  const check = "given-up-addresses";
  if (givenUp === "unreadable") return skipped(check, "only root can read Dockline's folder");
  if (givenUp === undefined || givenUp.length === 0) {
    return ok(check, "no address of a pod was given up");
  }
  const pods = givenUp.slice(0, shown).map(podText);
  return warning(
    check,
    `${count(givenUp.length, "CNI DEL")} could not work any more and was given up: ${pods.join("; ")}` +
      (givenUp.length > shown ? "; …" : ""),
    "the plugin may still count the addresses as used, until none is left. Free them in its own " +
      "store (host-local: below /var/lib/cni/networks), then remove the notes. " +
      `The last reason: ${givenUp.at(-1)?.reason ?? ""}`,
    ...givenUp.slice(0, shown).map(({ path }) => `rm ${path}`),
  );
}
