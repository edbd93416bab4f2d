import { readIdentity } from "../convert/labels.ts";
import { askedNameOf } from "../convert/names.ts";
import type { AskedName, SandboxId } from "../convert/names.ts";
import type { ContainerInspect } from "../engine/types.ts";
import { isStatus } from "../engine/errors.ts";
import type { ContainerEntry } from "../index/container-index.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { repeatIfLost } from "./lost-answer.ts";

/** One pause container as Docker, our record, or both know it. */
export interface FoundSandbox {
  id: SandboxId;
  name: AskedName;
  entry: ContainerEntry | undefined;
  /** Only the record of this very container: a left-over may have the same asked name. */
  record: SandboxRecord | undefined;
}

type LookUpDeps = Pick<SandboxDeps, "index" | "records">;

/**
 * By id or unique prefix; undefined when neither Docker nor a record has it.
 *
 * @throws CriError InvalidArgument for an ambiguous prefix, Unavailable without an engine
 */
export async function lookUpSandbox(
  deps: LookUpDeps,
  podSandboxId: string,
): Promise<FoundSandbox | undefined> {
  const entry = await deps.index.find("podsandbox", podSandboxId);
  const record =
    entry === undefined
      ? deps.records.byIdPrefix(podSandboxId)
      : (deps.records.byId(entry.id) ?? unnumbered(deps, entry));
  const id = entry?.id ?? record?.id;
  if (id === undefined) return undefined;
  const name = record?.name ?? askedNameOf(entry?.name ?? id);
  return { id: id as SandboxId, name, entry, record };
}

/** The record of a process that was killed between Docker's create and the note of its id. */
function unnumbered(deps: LookUpDeps, entry: ContainerEntry): SandboxRecord | undefined {
  const record = deps.records.byName(askedNameOf(entry.name));
  if (record === undefined || record.id !== undefined) return undefined;
  return record.configHash === entry.identity.extra.hash ? { ...record, id: entry.id } : undefined;
}

/**
 * The pause containers of a record, also when it does not know their id yet: only what carries the
 * record's own hash counts, so that another program's container of that name is never mistaken for ours.
 */
export async function idsOfRecord(
  deps: Pick<SandboxDeps, "engine" | "index" | "records" | "clock">,
  record: SandboxRecord,
): Promise<SandboxId[]> {
  if (record.id !== undefined) return [record.id as SandboxId];
  const ids = new Set<string>();
  const found = await inspectByName(deps, record.name);
  const identity = readIdentity({ name: record.name, labels: found?.Config.Labels ?? null });
  if (found !== undefined && isOf(identity, record)) ids.add(found.Id);
  for (const entry of await deps.index.sandboxes()) {
    const suffixed = entry.name.startsWith(`${record.name}_`);
    const owned = deps.records.byId(entry.id) !== undefined;
    if (suffixed && !owned && isOf(entry.identity, record)) ids.add(entry.id);
  }
  return [...ids] as SandboxId[];
}

function isOf(identity: ContainerEntry["identity"] | undefined, record: SandboxRecord): boolean {
  return identity?.kind === "podsandbox" && identity.extra.hash === record.configHash;
}

/** undefined when the engine knows no container of that name. */
export async function inspectByName(
  deps: Pick<SandboxDeps, "engine" | "index" | "clock">,
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
