import type { ImageInspect } from "../engine/image-types.ts";
import type { EngineInfo } from "../engine/types.ts";
import { API } from "./engine-facts.ts";
import { familiarReference, normalizeListed } from "./image-ref.ts";

/** An image as the index and the engine's list know it. */
export interface NamedImage {
  readonly inspect: Pick<ImageInspect, "Identity">;
  /** Without "<none>:<none>". */
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

/** How the engine keeps images, as far as it says where one came from. */
export interface ImageStoreFacts {
  readonly containerdStore: boolean;
  readonly apiMinor: number;
}

/** True with the containerd image store: ids are manifest digests, files lie elsewhere. */
export function usesContainerdStore(info: Pick<EngineInfo, "DriverStatus">): boolean {
  return (info.DriverStatus ?? []).some(
    ([key, value]) => key === "driver-type" && value.startsWith("io.containerd.snapshotter"),
  );
}

/** What decides that the kubelet's garbage collection leaves an image alone. */
export interface PinPolicy {
  /** Full reference of the pause image in use. */
  readonly pauseReference: string;
  /** References in full or in Docker's short form; a trailing `*` matches any rest. */
  readonly patterns: readonly string[];
  /** Images that no registry has are pinned as well; undefined: they are not. */
  readonly localImages?: ImageStoreFacts | undefined;
}

/**
 * True for what the operator names, and for the pause image. Nothing in an image itself can pin it:
 * whoever can push to a registry could fill the disks of all nodes.
 */
export function isPinned(image: NamedImage, policy: PinPolicy): boolean {
  const names = [...image.repoTags, ...image.repoDigests].flatMap((name) => [
    normalizeListed(name),
    familiarReference(name),
  ]);
  return (
    names.includes(policy.pauseReference) ||
    names.some((name) => policy.patterns.some((pattern) => matches(name, pattern))) ||
    (policy.localImages !== undefined && originOf(image, policy.localImages) === "local")
  );
}

/**
 * "local": loaded, built or committed here, so that no registry is known to have it. "unknown": containerd's store on
 * an engine below API 1.53, where a loaded image looks like a pulled one.
 */
export function originOf(
  image: NamedImage,
  store: ImageStoreFacts,
): "registry" | "local" | "unknown" {
  // A dangling image has nothing to be pulled by, but nothing to be used by either.
  if (image.repoTags.length === 0) return "registry";
  if (!store.containerdStore) return image.repoDigests.length === 0 ? "local" : "registry";
  if (store.apiMinor < API.imageIdentity) return "unknown";
  return (image.inspect.Identity?.Pull?.length ?? 0) === 0 ? "local" : "registry";
}

function matches(reference: string, pattern: string): boolean {
  return pattern.endsWith("*") ? reference.startsWith(pattern.slice(0, -1)) : reference === pattern;
}
