import { existsSync } from "node:fs";
import { errorText } from "../errors.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import type { PodDeps } from "./deps.ts";

/**
 * Takes down whatever there is of a sandbox and forgets it: for attempts that failed and for retries
 * that find a half-made one. When CNI DEL fails the record stays (NOTREADY, address still held) and
 * the error is thrown: the kubelet's Stop and Remove finish it.
 */
export async function clearSandbox(deps: PodDeps, record: SandboxRecord): Promise<void> {
  const id = record.id ?? (await idByName(deps, record.name));
  let left = record;
  if (record.network !== undefined) {
    try {
      left = await releaseNetwork(deps, record);
    } catch (error) {
      deps.log.warn({ sandbox: record.name, error: errorText(error) }, "network is still held");
      if (id !== undefined) await killContainer(deps, id);
      await deps.records.save({ ...record, phase: "stopping" });
      if (id !== undefined) deps.index.touchedRecord(id);
      throw error;
    }
  }
  if (id !== undefined) await removeContainer(deps, id);
  await deps.records.delete(left);
  if (id !== undefined) deps.index.touchedRecord(id);
}

/** Runs CNI DEL with what was saved at ADD; the returned record owes nothing any more. */
export async function releaseNetwork(deps: PodDeps, record: SandboxRecord): Promise<SandboxRecord> {
  if (record.network === undefined) return record;
  const attachment = record.network as NetworkAttachment;
  // The bind mount goes with the pause container; plugins take an empty path for "gone" (CNI spec).
  const netns = record.netns !== undefined && existsSync(record.netns) ? record.netns : "";
  await deps.network.tearDown(attachment, netns);
  const released: SandboxRecord = withoutNetwork(record);
  await deps.records.save(released);
  if (record.id !== undefined) deps.index.touchedRecord(record.id);
  return released;
}

function withoutNetwork(record: SandboxRecord): SandboxRecord {
  const { network, ...rest } = record;
  return network === undefined ? record : { ...rest, ips: [] };
}

/** SIGKILL; one that does not run or is gone is as good. Docker answers when it has ended. */
export async function killContainer(
  deps: Pick<PodDeps, "engine" | "index">,
  id: string,
): Promise<void> {
  try {
    await deps.engine.killContainer(id, "KILL");
  } catch (error) {
    // 409: not running. 404: gone.
    if (isStatus(error, 404)) deps.index.removed(id);
    else if (!isStatus(error, 409)) throw error;
  } finally {
    deps.index.touched(id);
  }
}

/** Removes with force and anonymous volumes; waits while Docker says that a removal is under way. */
export async function removeContainer(
  deps: Pick<PodDeps, "engine" | "index" | "clock">,
  id: string,
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await deps.engine.removeContainer(id);
      break;
    } catch (error) {
      if (isStatus(error, 404)) break;
      // 409 "removal already in progress": somebody else is at it; an error only if it stays.
      if (!isStatus(error, 409) || attempt >= 20) throw error;
      await deps.clock.sleep(250);
    }
  }
  deps.index.removed(id);
}

/** Kills all that run, at once: StopPodSandbox leaves no time for a grace (containerd does the same). */
export async function killMembers(
  deps: PodDeps,
  members: readonly ContainerEntry[],
): Promise<void> {
  await Promise.all(
    members
      .filter((member) => member.state.Running || member.state.Paused)
      .map(async (member) => {
        await killContainer(deps, member.id);
      }),
  );
}

async function idByName(deps: PodDeps, name: string): Promise<string | undefined> {
  try {
    return (await deps.engine.inspectContainer(name)).Id;
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}
