import { toRegistryAuth } from "../convert/auth.ts";
import { pullTarget } from "../convert/image-ref.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError, invalidArgument } from "../errors.ts";
import type { Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import type { ImageService } from "../gen/runtime/v1/api_pb.js";
import { pullError } from "../images/pull.ts";
import type { ImagePuller } from "../images/mirrored-pull.ts";
import type { ImageEntry, ImageIndex } from "../index/image-index.ts";
import type { KeyedMutex } from "../sys/mutex.ts";
import { failpoint } from "../sys/failpoint.ts";

export interface ImageChangeDeps {
  engine: Pick<Engine, "inspectImage" | "removeImage">;
  images: ImageIndex;
  imagePuller: ImagePuller;
  locks: KeyedMutex;
  /** True while a pod's container is made from this image id. */
  inUse(imageId: string): Promise<boolean>;
  /** The same for every container that the engine has; asks it. */
  inUseByAny(imageId: string): Promise<boolean>;
}

/** PullImage and RemoveImage. */
export function imageChange(
  deps: ImageChangeDeps,
): Pick<Handlers<typeof ImageService>, "pullImage" | "removeImage"> {
  return {
    pullImage: async (request, context) => {
      const image = request.image?.image ?? "";
      if (image === "") throw invalidArgument("pull: image reference is empty");
      const target = pullTarget(image);
      const auth =
        request.auth === undefined ? undefined : toRegistryAuth(request.auth, target.registryHost);
      const name = await deps.imagePuller.pull({
        image,
        repository: target.repository,
        tagOrDigest: target.tagOrDigest,
        auth,
        signal: context.signal,
      });
      failpoint("pull.after-pull");
      deps.images.touched();
      try {
        // The id, as Image.id and image_id everywhere: since 1.36 all of them must be one value.
        return { imageRef: (await deps.engine.inspectImage(name)).Id };
      } catch (error) {
        throw pullError({ image }, error);
      }
    },
    removeImage: async (request, context) => {
      const image = request.image?.image ?? "";
      if (image === "") throw invalidArgument("remove: image reference is empty");
      const found = await deps.images.find(image);
      if (found === undefined) return {};
      await deps.locks.run(
        `image:${found.id}`,
        async () => {
          // Looked up again under the lock: of five removals at once, four find nothing left.
          const current = await deps.images.find(found.id);
          if (current !== undefined) await removeAll(deps, current);
        },
        context.signal,
      );
      return {};
    },
  };
}

/** Every reference goes, the last one takes the image with it. */
async function removeAll(deps: ImageChangeDeps, image: ImageEntry): Promise<void> {
  const references = referencesToRemove(image);
  // Asked before the first reference goes: an image in use must not be left without its names. The
  // engine itself asks, of all containers, only when it comes to the last reference.
  const used = references.length > 1 ? await deps.inUseByAny(image.id) : await deps.inUse(image.id);
  if (used) {
    throw new CriError("FailedPrecondition", `remove image ${image.id}: a container uses it`);
  }
  try {
    for (const reference of references) {
      try {
        await deps.engine.removeImage(reference);
      } catch (error) {
        // Gone meanwhile, by another client.
        if (!isStatus(error, 404)) throw error;
      }
    }
    // A dangling image has no reference; one with references is gone by now.
    if (references.length === 0) await removeById(deps, image.id);
  } catch (error) {
    if (isStatus(error, 409)) {
      throw new CriError("FailedPrecondition", `remove image ${image.id}: ${error.message}`);
    }
    throw error;
  } finally {
    deps.images.touched();
  }
}

/** Tags, and digests of repositories without a tag: a repository's last tag takes its digests along. */
function referencesToRemove({ repoTags, repoDigests }: ImageEntry): string[] {
  const tags = repoTags.filter((tag) => !tag.includes("@") && !tag.includes("<none>"));
  const tagged = new Set(tags.map((tag) => tag.slice(0, tag.lastIndexOf(":"))));
  const alone = repoDigests.filter((name) => !tagged.has(name.slice(0, name.indexOf("@"))));
  return [...tags, ...alone];
}

async function removeById(deps: ImageChangeDeps, id: string): Promise<void> {
  try {
    await deps.engine.removeImage(id);
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
  }
}
