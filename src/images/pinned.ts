import type { ImageEntry } from "../index/image-index.ts";

/** What decides that an image must never be collected (contracts: images that cannot be pulled again). */
export interface PinPolicy {
  /** Full reference of the pause image in use. */
  pauseReference: string;
  /** References in full or in Docker's short form; a trailing `*` matches any rest. */
  patterns: readonly string[];
  /** A name as the engine lists it in each form that people write: "docker.io/library/x:1", "x:1". */
  forms(reference: string): readonly string[];
  /** True with the containerd image store, where a local build has digests as well. */
  containerdStore: boolean;
}

/**
 * The kubelet's garbage collection leaves pinned images alone: those that no registry could give
 * back (built or loaded here), the pause image, and what the operator or the image itself says.
 */
export function isPinned(image: ImageEntry, policy: PinPolicy): boolean {
  const names = [...image.repoTags, ...image.repoDigests].flatMap((name) => policy.forms(name));
  return (
    image.inspect.Config?.Labels?.["io.dockline/pinned"] === "true" ||
    names.includes(policy.pauseReference) ||
    names.some((name) => policy.patterns.some((pattern) => matches(name, pattern))) ||
    madeHere(image, policy)
  );
}

function madeHere(image: ImageEntry, policy: PinPolicy): boolean {
  if (policy.containerdStore) return (image.inspect.Identity?.Build?.length ?? 0) > 0;
  // A dangling image has nothing to be pulled by, but nothing to be used by either.
  return image.repoDigests.length === 0 && image.repoTags.length > 0;
}

function matches(reference: string, pattern: string): boolean {
  return pattern.endsWith("*") ? reference.startsWith(pattern.slice(0, -1)) : reference === pattern;
}
