import type { Engine } from "../engine/engine.ts";
import type { RegistryAuth } from "../engine/image-types.ts";
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Credentials } from "./credential-file.ts";
import type { Puller } from "./pull.ts";

export interface ImageRequest {
  /** As the caller wrote it, for messages. */
  image: string;
  /** In full, without tag and digest. */
  repository: string;
  tagOrDigest: string;
  /** The kubelet's; they are for the image's own registry and never go to a mirror on another one. */
  auth?: RegistryAuth | undefined;
  signal: AbortSignal;
}

/** Pulls from mirrors first, with the node's own credentials where the caller gave none. */
export interface ImagePuller {
  /** Resolves with a name that the engine has the image by. Rejects as Puller does. */
  pull(request: ImageRequest): Promise<string>;
}

/** A mirror that is silent for so long is passed over, in ms. */
const mirrorDeadlineMs = 15_000;

/**
 * Docker knows mirrors of docker.io only. For other registries the mirror's image is pulled by its
 * own name and gets the asked tag besides. A digest can't be given to another name, so what was asked
 * for by digest stays under the mirror's: convert/mirrors.ts finds it again.
 */
export function createImagePuller(deps: {
  puller: Puller;
  engine: Pick<Engine, "tagImage">;
  /** The repository's names at its mirrors, in order. */
  mirrorsOf(repository: string): string[];
  credentials: Credentials;
  log: Logger;
}): ImagePuller {
  const { puller, engine, log } = deps;

  const fromMirror = async (request: ImageRequest, mirror: string): Promise<string> => {
    const { image, repository, tagOrDigest, signal } = request;
    const own = request.auth !== undefined && registryOf(mirror) === registryOf(repository);
    const { auth } = own ? request : await deps.credentials(mirror);
    const deadline = { progressDeadlineMs: mirrorDeadlineMs };
    await puller.pull({ image, repository: mirror, tagOrDigest, auth, signal, ...deadline });
    if (tagOrDigest.includes(":")) return `${mirror}@${tagOrDigest}`;
    await engine.tagImage(`${mirror}:${tagOrDigest}`, repository, tagOrDigest);
    return `${repository}:${tagOrDigest}`;
  };

  return {
    pull: async (request) => {
      const { image, repository, tagOrDigest, signal } = request;
      const failed: string[] = [];
      for (const mirror of deps.mirrorsOf(repository)) {
        try {
          return await fromMirror(request, mirror);
        } catch (error) {
          // An engine that is away, or a caller that is: no other registry helps.
          if (signal.aborted || !(error instanceof CriError) || error.kind !== "Unknown")
            throw error;
          log.warn({ image, mirror, error: errorText(error) }, "a mirror failed, trying the next");
          failed.push(mirror);
        }
      }
      const own = request.auth === undefined ? await deps.credentials(repository) : undefined;
      const auth = request.auth ?? own?.auth;
      try {
        await puller.pull({ image, repository, tagOrDigest, auth, signal });
      } catch (error) {
        if (!(error instanceof CriError) || error.kind !== "Unknown") throw error;
        const notes = [
          ...(failed.length === 0 ? [] : [`mirrors failed before: ${failed.join(", ")}`]),
          ...(own?.problem === undefined ? [] : [`without credentials: ${own.problem}`]),
        ];
        if (notes.length === 0) throw error;
        throw new CriError("Unknown", `${error.message} (${notes.join("; ")})`, { cause: error });
      }
      return `${repository}${tagOrDigest.includes(":") ? "@" : ":"}${tagOrDigest}`;
    },
  };
}

/** "mirror.example:5000/quay/app" → "mirror.example:5000". */
const registryOf = (repository: string): string => repository.slice(0, repository.indexOf("/"));
