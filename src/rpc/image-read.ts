import { toImage } from "../convert/image-out.ts";
import type { Handlers } from "../cri/bind.ts";
import { invalidArgument } from "../errors.ts";
import type { ImageService } from "../gen/runtime/v1/api_pb.js";
import type { ImageEntry, ImageIndex } from "../index/image-index.ts";
import { chunked } from "./chunked.ts";

export interface ImageReadDeps {
  images: ImageIndex;
  pinned(image: ImageEntry): boolean;
  /** Names by which an image that came from a mirror was asked for. */
  alsoAsked(repoDigest: string): string[];
  fsInfo: ImageFsUsage;
}

/** Where images and containers lie on disk, from memory (ImageFsInfo). */
export interface ImageFsUsage {
  imageFsInfo(): Promise<{
    imageFilesystems: FilesystemFigures[];
    containerFilesystems: FilesystemFigures[];
  }>;
}

export interface FilesystemFigures {
  timestamp: bigint;
  fsId: { mountpoint: string };
  usedBytes: { value: bigint };
  inodesUsed: { value: bigint };
}

/** ListImages, StreamImages, ImageStatus, ImageFsInfo. */
export function imageRead(
  deps: ImageReadDeps,
): Pick<
  Handlers<typeof ImageService>,
  "listImages" | "streamImages" | "imageStatus" | "imageFsInfo"
> {
  const convert = (entry: ImageEntry): ReturnType<typeof toImage> =>
    toImage(
      entry.inspect,
      {
        repoTags: entry.repoTags,
        repoDigests: [
          ...entry.repoDigests,
          ...entry.repoDigests.flatMap((name) => deps.alsoAsked(name)),
        ],
      },
      deps.pinned(entry),
    );
  const list = async (wanted: string): Promise<readonly ImageEntry[]> => {
    if (wanted === "") return await deps.images.list();
    const found = await deps.images.find(wanted);
    return found === undefined ? [] : [found];
  };
  return {
    listImages: async (request) => ({
      images: (await list(request.filter?.image?.image ?? "")).map(convert),
    }),
    streamImages: async function* (request) {
      for (const images of chunked(await list(request.filter?.image?.image ?? ""))) {
        yield { images: images.map(convert) };
      }
    },
    imageStatus: async (request) => {
      const image = request.image?.image ?? "";
      if (image === "") throw invalidArgument("image reference is empty");
      const found = await deps.images.find(image);
      // Absent is an answer, not an error: the kubelet pulls then.
      if (found === undefined) return {};
      return {
        image: convert(found),
        info: request.verbose
          ? {
              imageSpec: JSON.stringify(found.inspect.Config ?? {}, (key, value: unknown) =>
                // An image's environment is not a secret of ours to spread (T18).
                key === "Env" ? undefined : value,
              ),
            }
          : {},
      };
    },
    imageFsInfo: async () => await deps.fsInfo.imageFsInfo(),
  };
}
