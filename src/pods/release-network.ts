import { isSandbox } from "../convert/container-facts.ts";
import { storedSandboxSpec } from "../convert/sandbox-out.ts";
import { CriError, errorText } from "../errors.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { repeatIfLost } from "./lost-answer.ts";
import { attachedNetns, foreignNetns } from "./pod-netns.ts";
import { toBoundPorts, toPortMappings } from "./port-mappings.ts";

/**
 * CNI DEL with what was saved at ADD, when it is owed; may be repeated. With `giveUp`, what the plugins
 * cannot undo is given up.
 *
 * @throws CniError with the plugin's words
 */
export async function releaseNetwork(
  { network }: Pick<SandboxDeps, "network">,
  record: SandboxRecord,
  giveUp: boolean,
): Promise<void> {
  if (record.network === undefined) return;
  // Plugins take an empty path for "gone" (CNI spec).
  const netns = (): Promise<string> => attachedNetns(record);
  await network.tearDown(record.network as NetworkAttachment, netns, giveUp);
}

/**
 * DEL for a pod without a record: one that cri-dockerd or dockershim made, whose CNI result is in
 * the CNI library's own cache, or ours with its state folder lost.
 */
export async function releaseForeignNetwork(
  deps: Pick<SandboxDeps, "network" | "engine" | "clock">,
  entry: ContainerEntry,
  giveUp: boolean,
): Promise<void> {
  if (!isSandbox(entry)) return;
  // Without the facts the address would be given up for good.
  const inspect = entry.inspect ?? (await inspectIfThere(deps, entry.id));
  if (inspect?.HostConfig.NetworkMode !== "none") return;
  const { metadata } = entry.identity;
  const stored = storedSandboxSpec(entry);
  await deps.network.tearDownLegacy(
    {
      containerId: entry.id,
      netns: async () => (inspect.State.Running ? await foreignNetns(entry.id, inspect) : ""),
      podName: metadata.name,
      podNamespace: metadata.namespace,
      portMappings:
        stored === undefined
          ? toBoundPorts(inspect.HostConfig.PortBindings)
          : toPortMappings(stored.portMappings),
    },
    giveUp,
  );
}

async function inspectIfThere(
  deps: Pick<SandboxDeps, "engine" | "clock">,
  id: string,
): Promise<ContainerInspect | undefined> {
  try {
    return await repeatIfLost(deps.clock, () => deps.engine.inspectContainer(id));
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw new CriError("Unavailable", `pod sandbox ${id}: ${errorText(error)}`, { cause: error });
  }
}
