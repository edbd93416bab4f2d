import { readIdentity } from "../convert/labels.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import type { PodDeps } from "./deps.ts";
import { repeatIfLost } from "./lost-answer.ts";

/** A sandbox as Docker, our record, or both know it. */
export interface Sandbox {
  id: string;
  /** What locks and setups are kept under: the name asked for, without a suffix given later. */
  name: string;
  entry: ContainerEntry | undefined;
  record: SandboxRecord | undefined;
}

/**
 * By id or unique prefix; undefined when neither Docker nor a record has it.
 *
 * @throws CriError InvalidArgument for an ambiguous prefix, Unavailable without an engine
 */
export async function lookUpSandbox(
  deps: Pick<PodDeps, "index" | "records">,
  podSandboxId: string,
): Promise<Sandbox | undefined> {
  const entry = await deps.index.find("podsandbox", podSandboxId);
  const record =
    entry === undefined
      ? deps.records.byIdPrefix(podSandboxId)
      : (deps.records.byId(entry.id) ?? unnumbered(deps, entry));
  const id = entry?.id ?? record?.id;
  if (id === undefined) return undefined;
  return { id, name: record?.name ?? entry?.name ?? id, entry, record };
}

/** The record of a process that was killed between Docker's create and the note of its id. */
function unnumbered(
  deps: Pick<PodDeps, "records">,
  entry: ContainerEntry,
): SandboxRecord | undefined {
  const record = deps.records.byName(entry.name);
  if (record === undefined || record.id !== undefined) return undefined;
  return record.configHash === entry.identity.extra.hash ? { ...record, id: entry.id } : undefined;
}

/**
 * The pause containers of a record, also when it does not know their id yet: only what carries the
 * record's own hash counts, so that a stranger's container of that name is never taken for ours.
 */
export async function idsOfRecord(deps: PodDeps, record: SandboxRecord): Promise<string[]> {
  if (record.id !== undefined) return [record.id];
  const ids = new Set<string>();
  const found = await inspectByName(deps, record.name);
  const identity = readIdentity({ name: record.name, labels: found?.Config.Labels ?? null });
  if (found !== undefined && isOf(identity, record)) ids.add(found.Id);
  for (const entry of await deps.index.sandboxes()) {
    const suffixed = entry.name.startsWith(`${record.name}_`);
    const owned = deps.records.byId(entry.id) !== undefined;
    if (suffixed && !owned && isOf(entry.identity, record)) ids.add(entry.id);
  }
  return [...ids];
}

function isOf(identity: ContainerEntry["identity"] | undefined, record: SandboxRecord): boolean {
  return identity?.kind === "podsandbox" && identity.extra.hash === record.configHash;
}

/** undefined when the engine knows no container of that name. */
export async function inspectByName(
  deps: Pick<PodDeps, "engine" | "index" | "clock">,
  name: string,
): Promise<ContainerInspect | undefined> {
  const mark = deps.index.mark();
  try {
    const found = await repeatIfLost(deps.clock, () => deps.engine.inspectContainer(name));
    deps.index.observed(found, mark);
    return found;
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}

/**
 * After a start: records that know no container yet either get its id, and are then stopped and
 * removed like any other, or are dropped because nothing was made.
 */
export async function settleRecords(deps: PodDeps): Promise<void> {
  for (const { name, id } of deps.records.all()) {
    if (id !== undefined) continue;
    await deps.locks.run(`sandbox:${name}`, async () => {
      const record = deps.records.byName(name);
      if (record === undefined || record.id !== undefined) return;
      const [found] = await idsOfRecord(deps, record);
      if (found === undefined) await deps.records.delete(record);
      else await deps.records.save({ ...record, id: found, phase: "created" });
      if (found !== undefined) deps.index.touchedRecord(found);
    });
  }
}
