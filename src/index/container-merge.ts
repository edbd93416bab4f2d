import type {
  ContainerInspect,
  ContainerState,
  ContainerSummary,
  EngineEvent,
} from "../engine/types.ts";
import type { Mark } from "./container-index.ts";
import { ownName, stateTimeNs, type ContainerRecord } from "./container-record.ts";
import { exitCodeIn, NEVER, phaseOf, stateAfter, withStatus } from "./container-state.ts";
import type { TableHooks } from "./table-hooks.ts";
import type { Tick } from "./tick.ts";

/** An event that no inspect has seen yet: the state moves on if the event is newer, never back. */
export function mergeEvent(record: ContainerRecord, event: EngineEvent, tick: Tick): void {
  record.dirty = true;
  const covered = record.flight !== undefined && tick.covers(record.flight, event.timeNano);
  if (!covered) record.changedAt = tick.next();
  const next = stateAfter(record.state, event);
  if (next === undefined) return;
  if (event.Action === "start") fillStart(record, next.StartedAt);
  if (event.timeNano > record.stateNs) {
    record.stateNs = event.timeNano;
  } else if (event.Action !== "die" || !record.exitUnknown) return;
  record.state = next;
  record.exitUnknown = false;
  if (!covered) record.stateAt = record.changedAt;
}

/** Returns true when the list, begun at `since`, shows something the record did not have. */
export function mergeSummary(
  record: ContainerRecord,
  summary: ContainerSummary,
  since: Mark,
  tick: Tick,
): boolean {
  if ((record.inspected?.order ?? 0) > since.order || record.changedAt > since.order) return false;
  record.seenAt = Math.max(record.seenAt, since.order);
  if (!contradicts(record, summary)) return false;
  record.changedAt = tick.next();
  record.dirty = true;
  // The engine refreshes its list a moment after it tells of an exit: a list never revives.
  if (isLater(summary.State, record.state.Status)) {
    setStatus(record, summary.State, since);
    const exitCode = exitCodeIn(summary.Status);
    if (exitCode !== undefined) record.state = { ...record.state, ExitCode: exitCode };
  }
  return true;
}

/** Returns false when the answer is older than one that was merged already. */
export function mergeInspect(
  record: ContainerRecord,
  inspect: ContainerInspect,
  since: Mark,
): boolean {
  if (record.inspected !== undefined && record.inspected.order > since.order) return false;
  record.inspect = inspect;
  record.seenAt = Math.max(record.seenAt, since.order);
  if (since.order > record.stateAt) {
    record.inspected = since;
    record.state = inspect.State;
    record.stateNs = stateTimeNs(inspect.State);
    record.exitUnknown = false;
  } else fillStart(record, inspect.State.StartedAt);
  record.dirty = since.order <= record.changedAt;
  return true;
}

/** The engine tells of a kill late, or never when the life was short: there is other evidence. */
export function mergeOomEvidence(
  record: ContainerRecord,
  hooks: Pick<TableHooks, "oomKilled">,
): void {
  const { state } = record;
  if (phaseOf(state) !== "stopped" || state.ExitCode === 0 || state.OOMKilled) return;
  if (record.oomNs > 0n || !hooks.oomKilled(record.entry.id)) return;
  record.oomNs = stateTimeNs(state);
}

/** What is too old to say how a container is may still be the first to say when it started. */
function fillStart(record: ContainerRecord, startedAt: string): void {
  if (record.state.StartedAt !== NEVER || record.state.Status === "created") return;
  record.state = { ...record.state, StartedAt: startedAt };
}

/** The status alone is known, from a list or from the answer to an own write. */
export function setStatus(
  record: ContainerRecord,
  status: ContainerState["Status"],
  mark: Mark,
): void {
  record.stateAt = record.changedAt;
  record.state = withStatus(record.state, status);
  record.exitUnknown = phaseOf(record.state) === "stopped";
  if (mark.wallNs > record.stateNs) record.stateNs = mark.wallNs;
}

function contradicts(record: ContainerRecord, summary: ContainerSummary): boolean {
  const { state } = record;
  const name = ownName(summary);
  if (name !== undefined && name !== record.entry.name) return true;
  if (summary.State !== state.Status) return true;
  const exitCode = exitCodeIn(summary.Status);
  return exitCode !== undefined && exitCode !== state.ExitCode;
}

const order: ContainerState["Status"][] = [
  "created",
  "restarting",
  "running",
  "paused",
  "exited",
  "removing",
  "dead",
];

/** True when a container that lives once comes to this status after the other. */
export function isLater(status: ContainerState["Status"], than: ContainerState["Status"]): boolean {
  return order.indexOf(status) > order.indexOf(than);
}
