import { join } from "node:path";
import { count } from "../report.ts";
import type { NodeFacts } from "./facts.ts";
import { error, ok, warning, withoutEngine } from "./finding.ts";
import type { Finding } from "./finding.ts";

const missing =
  "user namespaces, mount options and ambient capabilities are refused until it can be called; " +
  "containers that were made with it cannot be started";

/** Containers named at most. */
const shown = 3;

export function checkEditing({ editing, edited, engine, config }: NodeFacts): Finding {
  const check = "dockline-oci";
  if (engine === undefined) return withoutEngine(check);
  if (editing.length === 0 && edited.length > 0) {
    const ids = edited.slice(0, shown).map((id) => id.slice(0, 12));
    return error(
      check,
      `Docker does not know it any more, and ${count(edited.length, "container")} need it: ` +
        `${ids.join(", ")}${edited.length > shown ? ", …" : ""}`,
      "Docker cannot start them again, nor remove them cleanly",
      "dockline install-runtime",
    );
  }
  if (editing.length === 0) {
    return warning(
      check,
      "not registered with Docker",
      "limits that Docker's API has no field for (memory.oom.group and huge pages, which a kubelet sends with every container) " +
        "are written after the start instead of before it; a pod loses its address when its pause container is restarted; pods with user namespaces, mount options or ambient capabilities " +
        "are refused",
      "dockline install-runtime   # no restart of Docker",
    );
  }
  const broken = editing.filter(({ trouble }) => trouble !== undefined);
  if (broken.length > 0) {
    const said = broken.map(
      ({ name, program, trouble }) => `${name} (${program}): ${trouble ?? ""}`,
    );
    return error(
      check,
      `registered but unusable: ${said.join("; ")}`,
      missing,
      "dockline install-runtime",
    );
  }
  const writes = join(config.runDir, "oci");
  const elsewhere = editing.find(({ edits }) => edits !== writes);
  if (elsewhere !== undefined) {
    return error(
      check,
      `${elsewhere.name} reads edits in ${elsewhere.edits}, this Dockline writes ${writes}`,
      missing,
      `dockline install-runtime --run-dir ${config.runDir}`,
    );
  }
  return ok(check, `registered as ${editing.map(({ name }) => name).join(", ")}`);
}
