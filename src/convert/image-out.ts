import { create } from "@bufbuild/protobuf";
import type { ImageInspect } from "../engine/image-types.ts";
import { ImageSchema, type Image } from "../gen/runtime/v1/api_pb.js";
import type { ImageNames } from "./container-facts.ts";
import { normalizeListed } from "./image-ref.ts";
import { parseImageUser } from "./user.ts";

/**
 * An image for ListImages and ImageStatus, which must answer alike for id, tag and digest: names in
 * full form, sorted. The kubelet takes a size of 0 for a broken image.
 *
 * @param pinned the kubelet's garbage collection must leave it
 */
export function toImage(inspect: ImageInspect, names: ImageNames, pinned: boolean): Image {
  const { uid, username } = parseImageUser(inspect.Config?.User);
  return create(ImageSchema, {
    id: inspect.Id,
    repoTags: listedTags(names.repoTags),
    repoDigests: listedDigests(names.repoDigests),
    size: BigInt(Math.max(1, Math.trunc(inspect.Size))),
    ...(uid === undefined ? {} : { uid: { value: uid } }),
    username,
    pinned,
  });
}

/**
 * Tags in full form, sorted. The containerd store lists digest names and placeholders of dangling
 * images among the tags, older engines "<none>:<none>".
 */
export function listedTags(repoTags: readonly string[]): string[] {
  return unique(repoTags.filter((tag) => !tag.includes("@") && !tag.includes("<none>")));
}

export function listedDigests(repoDigests: readonly string[]): string[] {
  return unique(repoDigests.filter((digest) => !digest.includes("<none>") && digest.includes("@")));
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names.map(normalizeListed))].sort();
}

/**
 * True for what a registry may hold that is no container image (models, charts, modules). Containerd's store takes it
 * in, of whatever form, but has no files of it to run or to mount: a mount would be an empty folder.
 */
export function isArtifact(inspect: Pick<ImageInspect, "Os" | "RootFS">): boolean {
  return inspect.Os === "" && (inspect.RootFS?.Layers?.length ?? 0) === 0;
}
