import type Docker from "dockerode";
import type { Readable } from "node:stream";
import type { Engine, PullOptions } from "./engine.ts";
import { EngineError } from "./errors.ts";
import { oneLine } from "./error-text.ts";
import { LineTooLong, readLines } from "./ndjson.ts";
import { listOf, objectWith, responseOf } from "./requests.ts";
import type { Requests } from "./requests.ts";
import { pathSegment } from "./route.ts";
import { protocolError, toEngineError } from "./failures.ts";
import type { ImageInspect, ImageSummary, PullProgress } from "./image-types.ts";

type ImageCalls = Pick<
  Engine,
  | "listImages"
  | "inspectImage"
  | "pullImage"
  | "tagImage"
  | "removeImage"
  | "saveImage"
  | "loadImage"
>;

const maxProgressBytes = 1 << 20;

export function imageCalls(requests: Requests): ImageCalls {
  return {
    listImages: (options) => {
      const operation = "list images";
      return requests.run({ operation, lane: "list", budgetMs: 30_000, options }, async (docker) =>
        listOf<ImageSummary>(operation, await docker.listImages({})),
      );
    },

    inspectImage: (reference, options) => {
      const operation = "inspect image";
      return requests.run({ operation, lane: "image", budgetMs: 10_000, options }, async (docker) =>
        objectWith<ImageInspect>(
          operation,
          "Id",
          await docker.getImage(pathSegment("image", reference, operation)).inspect(),
        ),
      );
    },

    pullImage: (options) => pull(requests, options),

    tagImage: async (reference, repository, tag) => {
      const operation = "tag image";
      await requests.run(
        { operation, lane: "image", budgetMs: 30_000, options: undefined },
        (docker) =>
          docker
            .getImage(pathSegment("image", reference, operation))
            .tag({ _query: { repo: repository, tag } } as unknown as { repo: string; tag: string }),
      );
    },

    removeImage: async (reference, options) => {
      const operation = "remove image";
      const _query = { force: options?.force ?? false, noprune: options?.noPrune ?? false };
      await requests.run({ operation, lane: "image", budgetMs: 120_000, options }, (docker) =>
        docker
          .getImage(pathSegment("image", reference, operation))
          .remove({ _query } as Docker.ImageRemoveOptions),
      );
    },

    saveImage: (reference, options) => {
      const operation = "save image";
      // Engines write all layers into a folder of their own before the first byte is sent.
      return requests.run(
        { operation, lane: "long", budgetMs: undefined, options },
        async (docker) =>
          responseOf(
            operation,
            await docker.getImage(pathSegment("image", reference, operation)).get(),
          ),
      );
    },

    loadImage: async (archive, options) => {
      const operation = "load image";
      try {
        const stream = await requests.run(
          { operation, lane: "long", budgetMs: 600_000, options, recordBody: true },
          (docker) => docker.loadImage(archive, { _query: { quiet: true } }),
        );
        const progress = readProgress(operation, responseOf(operation, stream));
        while ((await progress.next()).done !== true);
      } finally {
        archive.destroy();
      }
    },
  };
}

async function* pull(requests: Requests, options: PullOptions): AsyncGenerator<PullProgress> {
  const operation = "pull image";
  const { repository, tagOrDigest, auth } = options;
  // Headers come with the first progress message, which a slow registry may hold back for long;
  // the caller's own progress deadline decides.
  const stream = await requests.run(
    { operation, lane: "long", budgetMs: undefined, options, recordBody: true },
    (docker) =>
      docker.createImage((auth ?? undefined) as object, {
        _query: { fromImage: repository, tag: tagOrDigest },
      }),
  );
  yield* readProgress(operation, responseOf(operation, stream));
}

/**
 * The messages of a progress stream; the engine reports failures inside it, under status 200. The
 * stream is read to its end after one, which leaves the connection in order.
 */
async function* readProgress(operation: string, stream: Readable): AsyncGenerator<PullProgress> {
  let failed: EngineError | undefined;
  try {
    for await (const line of readLines(stream, maxProgressBytes)) {
      const progress = parseProgress(operation, line);
      failed ??= failureIn(operation, progress);
      if (failed === undefined) yield progress;
    }
  } catch (error) {
    if (error instanceof LineTooLong) throw protocolError(operation, error.message);
    throw failed ?? toEngineError(error, operation);
  }
  if (failed !== undefined) throw failed;
}

function failureIn(operation: string, progress: PullProgress): EngineError | undefined {
  const text = progress.errorDetail?.message ?? progress.error;
  if (text === undefined) return undefined;
  const code = progress.errorDetail?.code ?? 0;
  const status = code >= 400 && code <= 599 ? code : 500;
  const message = `${operation}: ${oneLine(text)}`;
  return new EngineError({ failure: "status", status, operation, message });
}

function parseProgress(operation: string, line: string): PullProgress {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value;
  } catch (cause) {
    throw protocolError(operation, "a progress message is not JSON", cause);
  }
  throw protocolError(operation, "a progress message is not an object");
}
