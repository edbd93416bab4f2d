import type { ContainerState } from "../engine/types.ts";
import type { InspectFacts } from "./inspect-facts.ts";
import type { ContainerIdentity, CriIdentity, SandboxIdentity } from "./labels.ts";

/**
 * One Docker container as an index holds it: immutable, replaced when anything changes. The
 * converters towards the CRI take it as it is and keep nothing.
 */
export interface ObjectFacts {
  /** Full 64 digit id. */
  readonly id: string;
  readonly identity: CriIdentity;
  /** Nanoseconds once inspected, whole seconds before. */
  readonly createdAtNs: bigint;
  /** Newest known state; newer than the inspect's where events came since. */
  readonly state: ContainerState;
  readonly inspect: InspectFacts | undefined;
  /** Image id ("sha256:…"). */
  readonly imageId: string;
  /** What the container was created from, as its creator wrote it. */
  readonly image: string;
}

export type ContainerFacts = ObjectFacts & { readonly identity: ContainerIdentity };
export type SandboxFacts = ObjectFacts & { readonly identity: SandboxIdentity };

/** An image's names as Docker lists them, in any order and form. */
export interface ImageNames {
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

export function isContainer(facts: ObjectFacts): facts is ContainerFacts {
  return facts.identity.kind === "container";
}

export function isSandbox(facts: ObjectFacts): facts is SandboxFacts {
  return facts.identity.kind === "podsandbox";
}

/**
 * The handler a pod runs under. cri-dockerd's newer line kept it nowhere but in Docker's Runtime,
 * where an empty one reads as the daemon's default.
 */
export function runtimeHandlerOf(facts: ObjectFacts): string {
  const { identity } = facts;
  return identity.legacy ? (facts.inspect?.HostConfig.Runtime ?? "") : identity.runtimeHandler;
}
