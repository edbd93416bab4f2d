import { acceptedErrors } from "./accepted-errors.ts";
import { acceptedSights } from "./accepted-sights.ts";
import type { Difference } from "./compare.ts";
import { knownFaults } from "./known-faults.ts";
import type { ContainerCase, PodPlan } from "./plan.ts";
import type { Outcome } from "./run-plan.ts";

/** What both runtimes made of one container, or of one pod. */
export interface Pair {
  readonly plan: PodPlan;
  /** Undefined for the pod itself. */
  readonly container: ContainerCase["container"] | undefined;
  readonly dockline: Outcome;
  readonly containerd: Outcome;
}

/** A difference that is on purpose. */
export interface Accepted {
  /** The row of docs/differences.md. */
  readonly point: string;
  /** "plan / case" of hand-picked.ts in which it is seen. */
  readonly shownBy: string;
  /** Where it is only seen on some engines or nodes. */
  readonly onlyWhere?: (node: NodeFacts) => boolean;
  accepts(difference: Difference, pair: Pair): boolean;
}

export interface NodeFacts {
  /** Minor number of the engine's API version. */
  readonly apiMinor: number;
  readonly apparmor: boolean;
  /** What is mounted on the node reaches containers that ask for it. */
  readonly sharedRoot: boolean;
}

export const accepted: readonly Accepted[] = [...acceptedErrors, ...acceptedSights];

/** The rows, or known faults, that a difference belongs to; none when it is a new fault. */
export function pointsOf(difference: Difference, pair: Pair): string[] {
  return [...accepted, ...knownFaults]
    .filter((one) => one.accepts(difference, pair))
    .map(({ point }) => point);
}
