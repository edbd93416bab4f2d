import type {
  ContainerInspect,
  ContainerState,
  ContainerSummary,
  EngineEvent,
} from "../engine/types.ts";
import { inspectFacts, type InspectFacts } from "../convert/inspect-facts.ts";
import { sharedText } from "../convert/shared-text.ts";
import { parseTimeNs } from "../convert/time.ts";
import type { Mark } from "./container-index.ts";
import { exitCodeIn, NEVER, phaseOf, stateAfter, withStatus } from "./container-state.ts";

/** What is known of one object. Never changed, only replaced by what `merge` makes of it and a fact. */
export interface Known {
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  readonly createdAtNs: bigint;
  /** Without the evidence of `oom` events. */
  readonly state: ContainerState;
  readonly inspect: InspectFacts | undefined;
  readonly dirty: boolean;
  /** Order of the last change, known or suspected: only an inspect that began later is the last word. */
  readonly changedAt: number;
  /** Order of what `state` was last told by anything but an inspect: older inspects cannot undo it. */
  readonly stateAt: number;
  /** When the newest inspect that counted began. */
  readonly inspected: Mark | undefined;
  /** Engine time up to which `state` is known; older events cannot change it. */
  readonly stateNs: bigint;
  /** The exit is known, its code and time are not. */
  readonly exitUnknown: boolean;
  /** Engine time of the last `oom` event; 0n for none. */
  readonly oomNs: bigint;
}

/** One fact about an object. `order`: its place among all that this process learns. */
export type Fact =
  | {
      kind: "event";
      event: EngineEvent;
      order: number;
      /** The inspect whose answer already contains this change: the last one, the one under way, or none. */
      seenBy: "inspected" | "flight" | "none";
    }
  | { kind: "list"; summary: ContainerSummary; since: Mark; order: number }
  | { kind: "inspect"; inspect: ContainerInspect; since: Mark; legacy: boolean }
  /** An own write, with what the engine's answer says of the state. */
  | { kind: "write"; now: "running" | "exited" | undefined; mark: Mark }
  /** Events before this order may be lost. */
  | { kind: "gap"; order: number }
  /** The kernel says that it killed a process of the container for lack of memory. */
  | { kind: "killed" };

/**
 * The one place where facts about an object become what is known of it. Facts come late, twice and
 * in any order; what wins over what is a table in test/unit/index/container-merge.test.ts. The same
 * object when the fact changes nothing.
 */
export function merge(known: Known, fact: Fact): Known {
  switch (fact.kind) {
    case "event":
      return mergeEvent(known, fact);
    case "list":
      return mergeSummary(known, fact);
    case "inspect":
      return mergeInspect(known, fact);
    case "write":
      return mergeWrite(known, fact);
    case "gap":
      return { ...known, changedAt: Math.max(known.changedAt, fact.order), dirty: true };
    case "killed":
      return wantsKillEvidence(known) ? { ...known, oomNs: stateTimeNs(known.state) } : known;
  }
}

type FactOf<K extends Fact["kind"]> = Extract<Fact, { kind: K }>;

/** An event that no inspect has seen moves the state on if it is newer, never back. */
function mergeEvent(before: Known, { event, order, seenBy }: FactOf<"event">): Known {
  let known = before;
  if (event.Action === "oom" && event.timeNano > known.oomNs) {
    known = { ...known, oomNs: event.timeNano };
  }
  if (seenBy === "inspected") return known;
  const changedAt = seenBy === "flight" ? known.changedAt : order;
  known = { ...known, dirty: true, changedAt };
  const next = stateAfter(known.state, event);
  if (next === undefined) return known;
  if (event.Action === "start") known = fillStart(known, next.StartedAt);
  const newer = event.timeNano > known.stateNs;
  if (!newer && (event.Action !== "die" || !known.exitUnknown)) return known;
  return {
    ...known,
    state: next,
    exitUnknown: false,
    stateNs: newer ? event.timeNano : known.stateNs,
    stateAt: seenBy === "flight" ? known.stateAt : changedAt,
  };
}

/** The list's word counts only where it began after the last change and contradicts what is known. */
function mergeSummary(known: Known, { summary, since, order }: FactOf<"list">): Known {
  if ((known.inspected?.order ?? 0) > since.order || known.changedAt > since.order) return known;
  if (!contradicts(known, summary)) return known;
  const changed = { ...known, changedAt: order, dirty: true };
  // The engine refreshes its list a moment after it tells of an exit: a list never revives.
  if (!isLater(summary.State, known.state.Status)) return changed;
  const next = withWord(changed, summary.State, since);
  const exitCode = exitCodeIn(summary.Status);
  return exitCode === undefined ? next : { ...next, state: { ...next.state, ExitCode: exitCode } };
}

/** An inspect tells all, unless a newer one was merged; of the state only what nothing newer told. */
function mergeInspect(before: Known, { inspect, since, legacy }: FactOf<"inspect">): Known {
  if (before.inspected !== undefined && before.inspected.order > since.order) return before;
  const known: Known = {
    ...before,
    // The copy that is there already.
    name: inspect.Name === `/${before.name}` ? before.name : nameOf(inspect.Name),
    image: sharedText(inspect.Config.Image),
    imageId: sharedText(inspect.Image),
    createdAtNs: parseTimeNs(inspect.Created),
    inspect: inspectFacts(inspect, legacy),
    dirty: since.order <= before.changedAt,
  };
  if (since.order <= before.stateAt) return fillStart(known, inspect.State.StartedAt);
  return {
    ...known,
    inspected: since,
    state: inspect.State,
    stateNs: stateTimeNs(inspect.State),
    exitUnknown: false,
  };
}

/** Only forward: a container that died at once has been heard of before its start's answer. */
function mergeWrite(before: Known, { now, mark }: FactOf<"write">): Known {
  const known = { ...before, changedAt: mark.order, dirty: true };
  return now !== undefined && isLater(now, known.state.Status) ? withWord(known, now, mark) : known;
}

/** True if it stopped with an error for no known reason, so that the kernel's log may have the cause. */
export function wantsKillEvidence({ state, oomNs }: Known): boolean {
  return phaseOf(state) === "stopped" && state.ExitCode !== 0 && !state.OOMKilled && oomNs === 0n;
}

/** What is too old to say how a container is may still be the first to say when it started. */
function fillStart(known: Known, startedAt: string): Known {
  const { state } = known;
  if (state.StartedAt !== NEVER || state.Status === "created") return known;
  return { ...known, state: { ...state, StartedAt: startedAt } };
}

/** The status alone is known, from a list or from the answer to an own write. */
function withWord(known: Known, status: ContainerState["Status"], mark: Mark): Known {
  const state = withStatus(known.state, status);
  return {
    ...known,
    state,
    stateAt: known.changedAt,
    exitUnknown: phaseOf(state) === "stopped",
    stateNs: mark.wallNs > known.stateNs ? mark.wallNs : known.stateNs,
  };
}

function contradicts({ state, name: known, inspect }: Known, summary: ContainerSummary): boolean {
  const name = ownName(summary);
  if (name !== undefined && name !== known) return true;
  // Of a container that could not be removed the engine's list says "removing" forever, its inspect "dead".
  const bothEnd = isRemoval(summary.State) && isRemoval(state.Status);
  if (summary.State !== state.Status && !(bothEnd && inspect !== undefined)) return true;
  const exitCode = exitCodeIn(summary.Status);
  return exitCode !== undefined && exitCode !== state.ExitCode;
}

const isRemoval = (status: ContainerState["Status"]): boolean =>
  status === "removing" || status === "dead";

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
function isLater(status: ContainerState["Status"], than: ContainerState["Status"]): boolean {
  return order.indexOf(status) > order.indexOf(than);
}

export function nameOf(name: string): string {
  return name.startsWith("/") ? name.slice(1) : name;
}

/** The own name among those of a list's entry: links of other containers have a second slash. */
export function ownName(summary: ContainerSummary): string | undefined {
  const names = (summary.Names as string[] | null) ?? [];
  const own = names.find((name) => !nameOf(name).includes("/"));
  return own === undefined ? undefined : nameOf(own);
}

/** The newest moment that the engine's own times in a state speak of. */
function stateTimeNs(state: ContainerState): bigint {
  const started = parseTimeNs(state.StartedAt);
  const finished = parseTimeNs(state.FinishedAt);
  return started > finished ? started : finished;
}
