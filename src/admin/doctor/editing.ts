import { join } from "node:path";
import type { NodeFacts } from "./facts.ts";
import { error, ok, withoutEngine } from "./finding.ts";
import type { Finding } from "./finding.ts";

const missing =
  "user namespaces, mount options and ambient capabilities are refused until it can be called; " +
  "containers that were made with it cannot be started";

export function checkEditing({ editing, engine, config }: NodeFacts): Finding {
  const check = "dockline-oci";
  if (engine === undefined) return withoutEngine(check);
  if (editing.length === 0) {
    return ok(
      check,
      'not registered; only pods with user namespaces and the like need it ("dockline install-runtime")',
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
