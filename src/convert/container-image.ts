import { create } from "@bufbuild/protobuf";
import { ImageSpecSchema, type ImageSpec } from "../gen/runtime/v1/api_pb.js";
import type { ContainerFacts, ImageNames } from "./container-facts.ts";
import { listedDigests, listedTags } from "./image-out.ts";
import { normalizeListed, parseImageId, parseImageReference, repositoryOf } from "./image-ref.ts";

/** How a container's image is shown; the same in lists and statuses. */
export interface ShownImage {
  readonly spec: ImageSpec;
  /** A repository digest if the image has any, else its id; never empty. */
  readonly imageRef: string;
  readonly imageId: string;
}

/**
 * The kubelet asks by id and shows what stands here: of the image's tags the one that the user
 * wrote, else the first; of an untagged image what the user wrote. Digests of the same repository
 * are preferred as reference, since an image may be known under several.
 *
 * @param names the image's present names; undefined when the image is gone
 */
export function toShownImage(
  facts: ContainerFacts,
  asked: ImageSpec | undefined,
  names: ImageNames | undefined,
): ShownImage {
  const imageId = parseImageId(facts.imageId) ?? facts.imageId;
  const tags = listedTags(names?.repoTags ?? []);
  const digests = listedDigests(names?.repoDigests ?? []);
  const userSpecified = asked?.userSpecifiedImage ?? "";
  const wanted = [userSpecified, asked?.image ?? "", facts.image]
    .filter((image) => image !== "" && parseImageId(image) === undefined)
    .map(withDefaultTag);
  const image =
    wanted.find((name) => tags.includes(name)) ?? tags[0] ?? wanted[0] ?? digests[0] ?? imageId;
  const repository = repositoryName(image);
  const imageRef =
    digests.find((digest) => repositoryName(digest) === repository) ?? digests[0] ?? imageId;
  return {
    spec: create(ImageSpecSchema, {
      image,
      userSpecifiedImage: userSpecified,
      annotations: asked?.annotations ?? {},
      runtimeHandler: asked?.runtimeHandler ?? "",
    }),
    imageRef: imageRef === "" ? facts.image : imageRef,
    imageId,
  };
}

function withDefaultTag(image: string): string {
  const reference = parseImageReference(image);
  const bare = reference?.tag === undefined && reference?.digest === undefined;
  return reference !== undefined && bare
    ? `${repositoryOf(reference)}:latest`
    : normalizeListed(image);
}

function repositoryName(image: string): string | undefined {
  const reference = parseImageReference(image);
  return reference === undefined ? undefined : repositoryOf(reference);
}
