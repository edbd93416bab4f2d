import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { PodNamespaces } from "../network/pod-namespaces.ts";
import type { NetnsOwners } from "../state/netns-owners.ts";

/**
 * Removes the network namespaces that carry Dockline's name and that no record has: what a process left that
 * was killed, and what an earlier release does not know. Whoever else keeps namespaces in the same folder
 * gives them other names; another Dockline on the machine has records of its own, which count as well.
 *
 * Never rejects.
 *
 * @returns whether nothing is left to be removed
 */
export async function collectNamespaces(deps: {
  namespaces: Pick<PodNamespaces, "list" | "remove">;
  owners: Pick<NetnsOwners, "recorded">;
  log: Logger;
}): Promise<boolean> {
  const failed = (error: unknown, netns?: string): false => {
    deps.log.warn({ netns, error: errorText(error) }, "network namespaces could not be removed");
    return false;
  };
  let isClean = true;
  try {
    // In this order: a record names a namespace before there is one.
    const there = await deps.namespaces.list();
    if (there.length === 0) return true;
    const recorded = await deps.owners.recorded();
    for (const path of there.filter((one) => !recorded.has(one))) {
      try {
        await deps.namespaces.remove(path);
        deps.log.info({ netns: path }, "removed a network namespace that no pod has");
      } catch (error) {
        isClean = failed(error, path);
      }
    }
  } catch (error) {
    return failed(error);
  }
  return isClean;
}
