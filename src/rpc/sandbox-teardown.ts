import { existsSync } from "node:fs";
import { storedSandboxSpec } from "../convert/sandbox-out.ts";
import { isSandbox } from "../convert/container-facts.ts";
import { CriError, errorText } from "../errors.ts";
import { EngineError, isStatus, isUncertain } from "../engine/errors.ts";
import type { ContainerInspect } from "../engine/types.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { NetworkAttachment } from "../network/attachment.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { waiting } from "../sys/call-trace.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { PodDeps } from "./deps.ts";
import { repeatIfLost } from "./lost-answer.ts";
import { toPortMappings } from "./port-mappings.ts";
import type { HostPort } from "./port-mappings.ts";
import { idsOfRecord } from "./sandbox-lookup.ts";

/**
 * Takes down whatever there is of a sandbox and forgets it: for attempts that failed and for retries
 * that find a half-made one. When CNI DEL fails the record stays (NOTREADY, address still held) and
 * the error is thrown: the kubelet's Stop and Remove finish it.
 */
export async function clearSandbox(deps: PodDeps, record: SandboxRecord): Promise<void> {
  const ids = await idsOfRecord(deps, record);
  const members = ids.flatMap((id) => deps.index.peekMembers(id));
  await killMembers(deps, members);
  const left = await releaseOrKeep(deps, record, ids);
  await Promise.all(
    members.map(async ({ id }) => {
      if (await removeOrLeave(deps, id)) await deps.logs.remove(id);
    }),
  );
  for (const id of ids) await removeOrLeave(deps, id);
  await deps.records.delete(left);
  for (const id of ids) deps.index.touchedRecord(id);
}

/**
 * DEL, and once more when it fails: bridge does after half an ADD, and then not again. Pause and its
 * namespace stay for the next attempt, since with them a plugin undoes all. Only an attempt after an
 * earlier failure goes on without, as the last resort.
 */
async function releaseOrKeep(
  deps: PodDeps,
  record: SandboxRecord,
  ids: readonly string[],
): Promise<SandboxRecord> {
  let failure: unknown;
  for (const alone of [false, record.phase === "stopping"]) {
    if (alone) for (const id of ids) await killContainer(deps, id);
    try {
      return await releaseNetwork(deps, record);
    } catch (error) {
      failure = error;
      deps.log.warn({ sandbox: record.name, error: errorText(error) }, "network is still held");
    }
  }
  const [id] = ids;
  const kept = { ...record, ...(id === undefined ? {} : { id }), phase: "stopping" as const };
  await deps.records.saveIfPossible(kept);
  if (id !== undefined) deps.index.touchedRecord(id);
  throw failure;
}

/** Runs CNI DEL with what was saved at ADD; the returned record owes nothing any more. */
export async function releaseNetwork(deps: PodDeps, record: SandboxRecord): Promise<SandboxRecord> {
  const { network, ...rest } = record;
  if (network === undefined) return record;
  // The bind mount goes with the pause container; plugins take an empty path for "gone" (CNI spec).
  const netns = record.netns !== undefined && existsSync(record.netns) ? record.netns : "";
  await deps.network.tearDown(network as NetworkAttachment, netns);
  failpoint("stop.after-del");
  const released: SandboxRecord = { ...rest, ips: [] };
  await deps.records.saveIfPossible(released);
  if (record.id !== undefined) deps.index.touchedRecord(record.id);
  return released;
}

/**
 * DEL for a pod without a record: one that cri-dockerd or dockershim made, whose CNI result is in
 * the CNI library's own cache, or ours with its state folder lost.
 */
export async function releaseForeignNetwork(deps: PodDeps, entry: ContainerEntry): Promise<void> {
  if (!isSandbox(entry)) return;
  // Without the facts the address would be given up for good.
  const inspect = entry.inspect ?? (await inspectIfThere(deps, entry.id));
  if (inspect?.HostConfig.NetworkMode !== "none") return;
  const { metadata } = entry.identity;
  const netns = inspect.State.Running ? (inspect.NetworkSettings.SandboxKey ?? "") : "";
  const stored = storedSandboxSpec(entry);
  await deps.network.tearDownLegacy({
    containerId: entry.id,
    netns: existsSync(netns) ? netns : "",
    podName: metadata.name,
    podNamespace: metadata.namespace,
    portMappings: stored === undefined ? boundPorts(inspect) : toPortMappings(stored.portMappings),
  });
}

/** The ports of a cri-dockerd pod as it told them to Docker, which has no use for them. */
function boundPorts(inspect: ContainerInspect): HostPort[] {
  return Object.entries(inspect.HostConfig.PortBindings ?? {}).flatMap(([port, bindings]) => {
    const [containerPort, protocol] = port.split("/");
    return (bindings ?? []).map((binding) => ({
      hostPort: Number(binding.HostPort ?? 0),
      containerPort: Number(containerPort),
      protocol: protocol === "udp" || protocol === "sctp" ? protocol : ("tcp" as const),
      hostIp: binding.HostIp ?? "",
    }));
  });
}

async function inspectIfThere(deps: PodDeps, id: string): Promise<ContainerInspect | undefined> {
  try {
    return await repeatIfLost(deps.clock, () => deps.engine.inspectContainer(id));
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw new CriError("Unavailable", `pod sandbox ${id}: ${errorText(error)}`, { cause: error });
  }
}

/** SIGKILL; one that does not run or is gone is as good. Docker answers when it has ended. */
export async function killContainer(
  deps: Pick<PodDeps, "engine" | "index" | "clock">,
  id: string,
): Promise<void> {
  try {
    await repeatIfLost(deps.clock, () => deps.engine.killContainer(id, "KILL"));
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
      await repeatIfLost(deps.clock, () => deps.engine.removeContainer(id));
      break;
    } catch (error) {
      if (isStatus(error, 404)) break;
      // 409 "removal already in progress": somebody else is at it; an error only if it stays.
      if (!isStatus(error, 409) || attempt >= 20) throw error;
      await waiting("removal under way", () => deps.clock.sleep(250));
    }
  }
  deps.index.removed(id);
}

/**
 * Removes what is in the way. What the engine cannot remove now (a file or a mount of it is held)
 * stays, dead: whoever needs its name takes another, and the kubelet's collection removes it later.
 *
 * @returns false when it stays
 * @throws EngineError when there is no engine to say so
 */
export async function removeOrLeave(
  deps: Pick<PodDeps, "engine" | "index" | "clock" | "log">,
  id: string,
): Promise<boolean> {
  try {
    await removeContainer(deps, id);
    return true;
  } catch (error) {
    if (!(error instanceof EngineError) || isUncertain(error)) throw error;
    deps.index.touched(id);
    deps.log.warn(
      { containerId: id, error: errorText(error) },
      "a dead container cannot be removed now",
    );
    return false;
  }
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

export async function removeMembers(
  deps: PodDeps,
  members: readonly ContainerEntry[],
): Promise<void> {
  await Promise.all(
    members.map((member) =>
      deps.locks.run(`container:${member.name}`, async () => {
        await removeContainer(deps, member.id);
        await deps.logs.remove(member.id);
      }),
    ),
  );
}
