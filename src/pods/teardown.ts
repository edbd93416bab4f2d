import { errorText } from "../errors.ts";
import { EngineError, isUncertain } from "../engine/errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import { CniError } from "../network/cni-error.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { killContainer, mayRun, removeContainer, removeOrLeave } from "./ending.ts";
import { releaseForeignNetwork, releaseNetwork } from "./release-network.ts";
import type { RecordedSandbox } from "./recorded.ts";

/** What there is of a sandbox. */
export interface Remains {
  /** Pause containers: one, or what a record without an id may have made. */
  ids: readonly string[];
  record: SandboxRecord | undefined;
  /** As it was last looked up; without it, what is in memory. */
  entry: ContainerEntry | undefined;
}

/** How far a sandbox is taken down, and what a failure on the way means. */
export interface Order {
  to: "stopped" | "gone";
  /** CNI DELs that are run before a failure is reported. */
  attempts: 1 | 2;
  /** Nobody asked for the removal: what Docker cannot remove now stays, dead, and keeps its name. */
  leave: boolean;
  /** The last attempt gives up what CNI DEL cannot undo. */
  giveUp: boolean;
}

/** StopPodSandbox and RemovePodSandbox, which the kubelet repeats. */
export const asAsked = (to: Order["to"], giveUp: boolean): Order => ({
  to,
  attempts: giveUp ? 2 : 1,
  leave: false,
  giveUp,
});

/**
 * An attempt that failed, or is in the way of the next one. Bridge fails in DEL after half an ADD, and
 * then not again, hence two.
 */
export const makingRoom: Order = { to: "gone", attempts: 2, leave: true, giveUp: false };

/** Between calls: a DEL that fails is left to the kubelet from then on, and after half an ADD it fails once. */
export const settling: Order = { ...asAsked("stopped", false), attempts: 2 };

/**
 * The one way down: containers first, then the network, the pause container last, since an address must
 * never be given away while something still answers on it. Every step may be repeated. When CNI DEL fails
 * the sandbox stays `stopping`, NOTREADY, with its address held, and the failure is thrown.
 *
 * @throws CniError, EngineError
 */
export async function takeDown(
  deps: SandboxDeps,
  sandbox: RecordedSandbox,
  { ids, record: before, entry }: Remains,
  order: Order,
): Promise<void> {
  // Nobody can tell of a pod without a record whether an earlier DEL failed.
  const hasFailed = before === undefined || before.delFailure !== undefined;
  const owns = before !== undefined;
  if (owns && before.phase !== "stopped" && before.phase !== "stopping") {
    await sandbox.enterAnyway("stopping");
    failpoint("stop.after-record");
  }
  const members = await membersOf(deps, ids);
  const isStarting = ({ name }: ContainerEntry): boolean => deps.locks.isHeld(`container:${name}`);
  await killAll(
    deps,
    members.filter((member) => mayRun(member) || isStarting(member)),
  );
  failpoint("stop.after-members");
  // While the namespace and its interfaces are there.
  if (deps.hooks.active) {
    await deps.hooks.containersStopped(members.map(({ id }) => id));
    for (const id of ids) await deps.hooks.podStop(id);
  }
  const pauses = (): string[] =>
    ids.filter((id) => mayRun(deps.index.peek(id) ?? (entry?.id === id ? entry : undefined)));
  const endNamespace = async (): Promise<void> => {
    for (const id of pauses()) await killContainer(deps, id);
    if (before?.ownNetns !== undefined) await deps.ownNetns.remove(before.ownNetns);
  };
  const mayEnd = hasFailed || order.giveUp ? endNamespace : undefined;
  await releaseOrKeep(deps, { sandbox, record: before, entry }, order, mayEnd);
  failpoint("stop.after-release");
  // A removal by force kills as well.
  if (!order.leave) {
    for (const id of pauses()) await killContainer(deps, id);
    // A start that was on its way to Docker came after the kill. From now on it fails: the namespaces are gone.
    const before = new Map(members.map((member) => [member.id, member]));
    const now = ids.flatMap((id) => deps.index.peekMembers(id));
    await killAll(
      deps,
      now.filter((member) => isStarting(member) || hasComeUp(before.get(member.id), member)),
    );
  }
  failpoint("stop.after-kill");
  // With the record of what is left, it goes as well.
  const { ownNetns } = sandbox.record ?? {};
  if (ownNetns !== undefined && !order.leave) {
    await deps.ownNetns.remove(ownNetns);
    failpoint("stop.after-netns");
  }
  // What is left to run until its removal is not stopped: if that fails, the sandbox is settled later.
  if (owns && !order.leave && sandbox.record?.phase !== "stopped") {
    await sandbox.enterAnyway("stopped", { ownNetns: undefined });
  }
  if (order.to === "stopped") return;
  failpoint("remove.after-stop");
  await removeMembers(deps, await membersOf(deps, ids), order);
  failpoint("remove.after-members");
  for (const id of ids) {
    if (order.leave) {
      // Without a record it would be shown as READY for as long as it runs.
      if (!(await removeOrLeave(deps, id))) await killContainer(deps, id);
    } else if (entry !== undefined) await removeContainer(deps, id);
  }
  failpoint("remove.after-pause");
  if (deps.hooks.active) for (const id of ids) await deps.hooks.podRemove(id);
  if (owns) await sandbox.forget();
  for (const id of ids) deps.index.touchedRecord(id);
}

/** For a sandbox without a record. One that the engine cannot remove now keeps its name and nothing else. */
export async function removeLeftOver(
  deps: SandboxDeps,
  sandbox: RecordedSandbox,
  remains: Remains,
): Promise<void> {
  try {
    await takeDown(deps, sandbox, remains, asAsked("gone", false));
  } catch (error) {
    if (!(error instanceof EngineError) || isUncertain(error)) throw error;
    deps.log.warn(
      { sandbox: sandbox.name, error: errorText(error) },
      "a left-over cannot be removed now",
    );
  }
}

/**
 * The pod's network is released, or the sandbox says from now on why not. While the namespace is there a
 * plugin undoes all; it may fail for just as long, though (bridge, once somebody else flushed its rules).
 * So after a second failure the pause container goes and the namespace with it: the next DEL does without,
 * which plugins must take, and nothing answers on the address any more.
 */
async function releaseOrKeep(
  deps: SandboxDeps,
  { sandbox, record, entry }: { sandbox: RecordedSandbox } & Pick<Remains, "record" | "entry">,
  order: Order,
  endNamespace: (() => Promise<void>) | undefined,
): Promise<void> {
  let mayEnd = endNamespace;
  for (let attempt = 1; ; attempt += 1) {
    const giveUp = order.giveUp && attempt === order.attempts;
    try {
      if (record !== undefined) await releaseNetwork(deps, record, giveUp);
      else if (entry !== undefined) await releaseForeignNetwork(deps, entry, giveUp);
      break;
    } catch (error) {
      const delFailure = errorText(error);
      deps.log.warn({ sandbox: sandbox.name, error: delFailure }, "network is still held");
      const end = error instanceof CniError || order.giveUp ? mayEnd : undefined;
      mayEnd = undefined;
      // Before the kill, which may fail as well and would hide it.
      if (end !== undefined || attempt === order.attempts) {
        if (record !== undefined) await sandbox.enterAnyway("stopping", { delFailure });
        else if (entry !== undefined) sandbox.noteForeignDel(entry.id, delFailure);
      }
      await end?.();
      if (attempt === order.attempts) throw error;
    }
  }
  if (record === undefined && entry !== undefined) sandbox.noteForeignDel(entry.id, undefined);
  if (record?.network === undefined) return;
  failpoint("stop.after-del");
  const { phase } = sandbox.record ?? record;
  await sandbox.enterAnyway(phase, { network: undefined, delFailure: undefined, ips: [] });
}

/** All that is known of them; an engine that is away must not keep an address held. */
async function membersOf(
  { index }: Pick<SandboxDeps, "index">,
  ids: readonly string[],
): Promise<ContainerEntry[]> {
  const members = await Promise.all(
    ids.map((id) => index.membersOf(id).catch(() => index.peekMembers(id))),
  );
  return members.flat();
}

/** Runs, or may, though the first look at it showed nothing of that. What was killed then stays "running" for a while. */
function hasComeUp(before: ContainerEntry | undefined, now: ContainerEntry): boolean {
  if (now.state.Running) return before?.state.Running !== true;
  return mayRun(now) && !mayRun(before);
}

/** All at once: a Stop of the pod leaves no time for a grace (containerd does the same). */
async function killAll(deps: SandboxDeps, members: readonly ContainerEntry[]): Promise<void> {
  await Promise.all(members.map(({ id }) => killContainer(deps, id)));
}

async function removeMembers(
  deps: SandboxDeps,
  members: readonly ContainerEntry[],
  { leave }: Pick<Order, "leave">,
): Promise<void> {
  await Promise.all(
    members.map(({ id, name }) =>
      deps.locks.run(`container:${name}`, async () => {
        if (deps.hooks.active) await deps.hooks.containerRemove(id);
        if (leave && !(await removeOrLeave(deps, id))) return;
        if (!leave) await removeContainer(deps, id);
        await deps.logs.remove(id);
      }),
    ),
  );
}
