import { join } from "node:path";
import type { Logger } from "../log.ts";
import { ContainerFiles } from "./container-files.ts";

/**
 * Resources as UpdateContainerResources last asked for them: Docker's labels cannot be changed after
 * create, and its own fields hold only a part. One small file for each resized container, opaque
 * bytes inside. Where a file cannot be read the container keeps what is in force.
 */
export class ResourceUpdates extends ContainerFiles<Uint8Array> {
  static async open(stateDir: string, log: Logger): Promise<ResourceUpdates> {
    const form = { read: (bytes: Uint8Array) => bytes, write: (bytes: Uint8Array) => bytes };
    const updates = new ResourceUpdates(join(stateDir, "resources"), form);
    return await updates.load(log, "saved resources cannot be read");
  }
}
