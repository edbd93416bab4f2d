import type { ContainerState, ContainerSummary } from "../engine/types.ts";
import type { ContainerEntry, Mark } from "./container-index.ts";
import { ownName, type Known } from "./container-merge.ts";
import { exitCodeIn, phaseOf, type Phase } from "./container-state.ts";
import { parseTimeNs } from "../convert/time.ts";
import { readIdentity, type CriIdentity } from "../convert/labels.ts";

/** The index's own account of one object; readers get its `entry`. */
export interface ContainerRecord {
  entry: ContainerEntry;
  known: Known;
  /** Legacy object whose image could not be asked for its labels yet. */
  imageLabelsMissing: boolean;
  /** Order of the newest sign of its existence. */
  seenAt: number;
  /** When the inspect under way began. */
  flight: Mark | undefined;
  phase: Phase;
  /** The last list that contradicted what was known: its words and its order. */
  contradiction?: { words: string; order: number } | undefined;
}

export interface ReadIdentity {
  identity: CriIdentity;
  imageLabelsMissing: boolean;
}

/** Undefined for what is not ours; a pod that was taken over shares its labels with its image. */
export function readOwn(
  name: string,
  labels: Record<string, string>,
  imageLabelsOf: () => Record<string, string> | null | undefined,
): ReadIdentity | undefined {
  const identity = readIdentity({ name, labels });
  if (identity?.legacy !== true) return identity && { identity, imageLabelsMissing: false };
  const imageLabels = imageLabelsOf();
  const legacy = readIdentity({ name, labels, imageLabels });
  return legacy && { identity: legacy, imageLabelsMissing: imageLabels === undefined };
}

export function newRecord(id: string, read: ReadIdentity, known: Known): ContainerRecord {
  return {
    entry: entryOf(id, read.identity, known, 1),
    known,
    imageLabelsMissing: read.imageLabelsMissing,
    seenAt: known.changedAt,
    flight: undefined,
    phase: phaseOf(known.state),
  };
}

/** What is known as a new entry; the old one stays as it was. */
export function replaceEntry(record: ContainerRecord, identity = record.entry.identity): void {
  const { id, revision } = record.entry;
  record.entry = entryOf(id, identity, record.known, revision + 1);
}

/**
 * Notes that a list has contradicted what was known. False when an inspect has answered these very words
 * since the last list: what the engine's list and its inspect tell differently is no change.
 */
export function isNewContradiction(
  record: ContainerRecord,
  { summary, order }: { summary: ContainerSummary; order: number },
): boolean {
  const last = record.contradiction;
  const words = [summary.State, exitCodeIn(summary.Status), ownName(summary)].join(" ");
  record.contradiction = { words, order };
  const inspectedAt = record.known.inspected?.order ?? 0;
  return last?.words !== words || inspectedAt < last.order;
}

function entryOf(
  id: string,
  identity: CriIdentity,
  known: Known,
  revision: number,
): ContainerEntry {
  const { name, image, imageId, createdAtNs, inspect, dirty } = known;
  const state = withOomEvidence(known);
  return {
    id,
    name,
    kind: identity.kind,
    identity,
    image,
    imageId,
    createdAtNs,
    state,
    inspect:
      inspect === undefined || inspect.State === state ? inspect : { ...inspect, State: state },
    revision,
    dirty,
  };
}

/**
 * The engine notes an out-of-memory kill only if containerd's notice arrives before the exit; the
 * `oom` event comes in either order. A process killed inside of a container that ended well is no
 * out-of-memory end of the container.
 */
function withOomEvidence({ state, oomNs }: Known): ContainerState {
  const killed =
    oomNs > 0n &&
    state.ExitCode !== 0 &&
    phaseOf(state) === "stopped" &&
    oomNs >= parseTimeNs(state.StartedAt);
  return killed && !state.OOMKilled ? { ...state, OOMKilled: true } : state;
}
