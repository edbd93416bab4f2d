import { API } from "../convert/engine-facts.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { isArtifact } from "../convert/image-out.ts";
import { CriError, errorText } from "../errors.ts";
import type { Mount } from "../gen/runtime/v1/api_pb.js";
import type { HeldCopy, ImageVolumes } from "../images/image-volumes.ts";
import type { ImageIndex } from "../index/image-index.ts";

/** What image mounts are of. */
export interface ImageMounts {
  /** Image ids or paths of copies, by the mount's place in the list. */
  readonly sources: ReadonlyMap<number, string>;
  /** Ids of images that are mounted as copies. They go into the container's label, which keeps the copies. */
  readonly copied: readonly string[];
  /** Once the container is known to have them, or is not made. */
  release(): void;
}

/** The kubelet's word for a container that waits for an image volume. */
const WORD = "ImageVolumeMountFailed";

/**
 * The images that are mounted; their copies on engines below API 1.48, and where the owners are to be
 * those of a user namespace: Docker's own mount is an overlay, which no kernel id-maps. By id: a name may mean
 * another image by the time of the start.
 *
 * @throws CriError that begins with the kubelet's word
 */
export async function holdImageMounts(
  deps: { volumes: ImageVolumes; images: Pick<ImageIndex, "find"> },
  mounts: readonly Mount[],
  facts: Pick<EngineFacts, "apiMinor">,
  signal: AbortSignal,
): Promise<ImageMounts> {
  const sources = new Map<number, string>();
  const copied = new Set<string>();
  const held: HeldCopy[] = [];
  const release = (): void => {
    for (const copy of held) copy.release();
  };
  try {
    for (const [index, mount] of mounts.entries()) {
      const { image, imageSubPath } = mount;
      if (image === undefined) continue;
      const mapped = mount.uidMappings.length > 0 || mount.gidMappings.length > 0;
      const field = `mounts[${index}]`;
      const found = await deps.images.find(image.image);
      if (found === undefined) {
        throw new CriError("NotFound", `${field}.image: no image ${image.image} on this node`);
      }
      if (isArtifact(found.inspect)) {
        throw new CriError(
          "Unimplemented",
          `${field}.image: OCI artifact ${image.image} is not supported: Docker mounts container images only`,
        );
      }
      if (facts.apiMinor >= API.imageMounts && !mapped) {
        sources.set(index, found.id);
        continue;
      }
      const copy = await deps.volumes.hold({ id: found.id, size: found.inspect.Size }, signal);
      held.push(copy);
      copied.add(found.id);
      sources.set(index, await copy.path(imageSubPath));
    }
  } catch (error) {
    release();
    if (signal.aborted) throw error;
    const kind = error instanceof CriError ? error.kind : "Internal";
    throw new CriError(kind, `${WORD}: ${errorText(error)}`, { cause: error });
  }
  return { sources, copied: [...copied], release };
}
