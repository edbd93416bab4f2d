import { join } from "node:path";
import type { InfoCache } from "../engine/info-cache.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { EditsFolder } from "../state/edits-folder.ts";
import { runProcess } from "../sys/process.ts";
import { registrations } from "./editing-runtimes.ts";

/** Drops what belongs to containers that vanished while we were away. */
export async function sweepEdits(deps: {
  edits: EditsFolder;
  info: Pick<InfoCache, "get">;
  log: Logger;
  exists(containerId: string): boolean;
}): Promise<void> {
  const { edits, folders } = await deps.edits.list();
  for (const id of edits) if (!deps.exists(id)) await deps.edits.remove(id);
  const left = folders.filter((id) => !deps.exists(id));
  if (left.length === 0) return;
  // Its folder stays when dockline-oci and its keeper were both killed, and may have a mount in it:
  // deleting a container that the real runtime does not know takes both down.
  const [found] = registrations(await deps.info.get());
  if (found === undefined) return;
  const root = `--root=${join(deps.edits.path, ".none")}`;
  for (const id of left) {
    try {
      const args = [...found.args, root, "delete", "--force", id];
      const { exitCode, stderr } = await runProcess(found.path, args, { timeoutMs: 10_000 });
      if (exitCode !== 0) throw new Error(stderr.trim());
      deps.log.info({ containerId: id }, "removed what an interrupted start had left");
    } catch (error) {
      deps.log.warn(
        { containerId: id, error: errorText(error) },
        "what a start has left could not be removed",
      );
    }
  }
}
