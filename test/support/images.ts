import type { ServiceError } from "@grpc/grpc-js";
import { EngineError } from "../../src/engine/errors.ts";
import type { TestNode } from "./node.ts";

/** The error of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<ServiceError> {
  try {
    await call;
  } catch (error) {
    if (typeof (error as ServiceError).code === "number") return error as ServiceError;
    throw error;
  }
  throw new Error("the call succeeded");
}

/** Removes every image of a registry, straight at the engine: names that contain `host`. */
export async function removeImagesOf(node: TestNode, host: string): Promise<void> {
  for (const { RepoTags, RepoDigests } of await node.docker.listImages()) {
    for (const name of [...(RepoTags ?? []), ...(RepoDigests ?? [])]) {
      if (!name.startsWith(`${host}/`)) continue;
      try {
        await node.docker.removeImage(name);
      } catch (error) {
        // A last tag takes the digests along.
        if (!(error instanceof EngineError) || error.status !== 404) throw error;
      }
    }
  }
}
