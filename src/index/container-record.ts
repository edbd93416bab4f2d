import type { ContainerInspect, ContainerState, ContainerSummary } from "../engine/types.ts";
import type { ContainerEntry, Mark } from "./container-index.ts";
import { phaseOf, type Phase } from "./container-state.ts";
import { parseTimeNs } from "../convert/time.ts";
import { readIdentity, type CriIdentity } from "../convert/labels.ts";

/** The index's own, changing account of one object; readers get its `entry`. */
export interface ContainerRecord {
  entry: ContainerEntry;
  /** State as merged so far, without the evidence of `oom` events. */
  state: ContainerState;
  inspect: ContainerInspect | undefined;
  labels: Record<string, string>;
  /** Legacy object whose image could not be asked for its labels yet. */
  imageLabelsMissing: boolean;
  dirty: boolean;
  /** Order of the last change, known or suspected: only an inspect that began later is the last word. */
  changedAt: number;
  /** Order of what `state` was last told by anything but an inspect: older inspects cannot undo it. */
  stateAt: number;
  /** Order of the newest sign of its existence. */
  seenAt: number;
  /** When the newest applied inspect began. */
  inspected: Mark | undefined;
  /** When the inspect under way began. */
  flight: Mark | undefined;
  /** Engine time up to which `state` is known; older events cannot change it. */
  stateNs: bigint;
  /** The exit is known, its code and time are not. */
  exitUnknown: boolean;
  /** Engine time of the last `oom` event; 0n for none. */
  oomNs: bigint;
  phase: Phase;
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

export function newRecord(fields: {
  id: string;
  name: string;
  read: ReadIdentity;
  labels: Record<string, string>;
  image: string;
  imageId: string;
  createdAtNs: bigint;
  state: ContainerState;
  order: number;
}): ContainerRecord {
  const { id, name, image, imageId, createdAtNs, state } = fields;
  const { identity, imageLabelsMissing } = fields.read;
  return {
    entry: {
      id,
      name,
      kind: identity.kind,
      identity,
      image,
      imageId,
      createdAtNs,
      state,
      inspect: undefined,
      revision: 1,
      dirty: true,
    },
    state,
    inspect: undefined,
    labels: fields.labels,
    imageLabelsMissing,
    dirty: true,
    changedAt: fields.order,
    stateAt: fields.order,
    seenAt: fields.order,
    inspected: undefined,
    flight: undefined,
    stateNs: 0n,
    exitUnknown: false,
    oomNs: 0n,
    phase: phaseOf(state),
  };
}

/** Makes the record's facts a new entry; the old one stays as it was. */
export function replaceEntry(record: ContainerRecord, identity?: CriIdentity): void {
  const { entry, inspect } = record;
  const state = withOomEvidence(record);
  record.entry = {
    ...entry,
    ...(identity === undefined ? {} : { identity, kind: identity.kind }),
    ...(inspect === undefined
      ? {}
      : {
          name: nameOf(inspect.Name),
          image: inspect.Config.Image,
          imageId: inspect.Image,
          createdAtNs: parseTimeNs(inspect.Created),
        }),
    state,
    inspect: inspect === undefined ? undefined : { ...inspect, State: state },
    revision: entry.revision + 1,
    dirty: record.dirty,
  };
}

/**
 * The engine notes an out-of-memory kill only if containerd's notice arrives before the exit; the
 * `oom` event comes in either order. A process killed inside of a container that ended well is no
 * out-of-memory end of the container.
 */
function withOomEvidence({ state, oomNs }: ContainerRecord): ContainerState {
  const killed =
    oomNs > 0n &&
    state.ExitCode !== 0 &&
    phaseOf(state) === "stopped" &&
    oomNs >= parseTimeNs(state.StartedAt);
  return killed && !state.OOMKilled ? { ...state, OOMKilled: true } : state;
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
export function stateTimeNs(state: ContainerState): bigint {
  const started = parseTimeNs(state.StartedAt);
  const finished = parseTimeNs(state.FinishedAt);
  return started > finished ? started : finished;
}
