import type { ImageInspect, ImageSummary } from "../engine/image-types.ts";

/** What is known of one image; replaced as a whole when it changes. */
export interface ImageEntry {
  /** "sha256:…" */
  readonly id: string;
  readonly summary: ImageSummary | undefined;
  /** Until the image was inspected, what its list entry tells: no user, no origin. */
  readonly inspect: ImageInspect;
  readonly inspected: boolean;
  /** Sorted, without "<none>:<none>". */
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly revision: number;
}

export interface ImageIndex {
  /**
   * All images, as the list shows them: after a start, with thousands of them, many are inspected later.
   * CriError Unavailable as for containers.
   */
  list(): Promise<readonly ImageEntry[]>;
  /**
   * By id ("sha256:…" or hex, or a unique prefix of it), tag or digest reference; short names are
   * completed as Docker does. Unknown ones are asked for once at the engine, so that "not present" is
   * never said of an image that is there. What is found has been inspected, except where the engine
   * refuses that. CriError Unavailable when the engine takes too long.
   */
  find(reference: string): Promise<ImageEntry | undefined>;
  /** What is in memory for an image id, whatever its age. */
  peek(imageId: string): ImageEntry | undefined;
  /** The image's own labels (cached for good: an image never changes); undefined when it is gone. */
  labelsOf(imageId: string): Promise<Record<string, string> | undefined>;
  /** An own pull, load, tag or remove changed the images. */
  touched(): void;
  /** Grows whenever an image comes, goes or has other names. */
  readonly revision: number;
}

/** "memory": as last known, even if changed since; "followed": memory is right unless marked changed. */
export type ReadSource = "followed" | "memory" | "engine";
