import type { Engine } from "../engine/engine.ts";
import { isStatus } from "../engine/errors.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { SingleFlight } from "../sys/mutex.ts";
import type { ImagePuller } from "./mirrored-pull.ts";
import type { Readable } from "node:stream";

export interface PauseImage {
  /** Reference to create pause containers from. */
  readonly reference: string;
  /** Makes it be there: pulled, or else loaded from the embedded archive under the same name. */
  ensure(signal: AbortSignal): Promise<void>;
}

/**
 * The pause image, without a registry if need be: a node that can't reach one still runs the pods
 * whose images it has. A reference of the operator's own that can't be pulled is replaced as well,
 * which is logged: the embedded program does the same as the usual one.
 */
export function createPauseImage(deps: {
  engine: Pick<Engine, "inspectImage" | "loadImage">;
  imagePuller: ImagePuller;
  reference: string;
  target: { repository: string; tagOrDigest: string };
  archive(reference: string): Promise<Readable>;
  onChanged(): void;
  /** How long a registry may take before the embedded image is used. */
  pullBudgetMs: number;
  log: Logger;
}): PauseImage {
  const flight = new SingleFlight<undefined>();
  const fetchImage = async (): Promise<undefined> => {
    try {
      await deps.engine.inspectImage(deps.reference);
      return;
    } catch (error) {
      if (!isStatus(error, 404)) throw error;
    }
    try {
      await deps.imagePuller.pull({
        image: deps.reference,
        ...deps.target,
        signal: AbortSignal.timeout(deps.pullBudgetMs),
      });
    } catch (error) {
      // A digest names content that the embedded image does not have.
      if (deps.target.tagOrDigest.includes(":")) throw error;
      deps.log.info(
        { image: deps.reference, error: errorText(error) },
        "pause image cannot be pulled, loading the embedded one",
      );
      await deps.engine.loadImage(await deps.archive(deps.reference));
    }
    deps.onChanged();
  };
  return {
    reference: deps.reference,
    ensure: async (signal) => {
      signal.throwIfAborted();
      await flight.run("pause", fetchImage);
    },
  };
}
