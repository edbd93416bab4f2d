import type { Engine } from "../src/engine/engine.ts";
import { isStatus } from "../src/engine/errors.ts";
import { busyboxFiles, imageArchive } from "./image-archive.ts";

/** A registry that does not answer at once is not waited for: the machine has a busybox itself. */
const pullBudgetMs = 20_000;

/** Makes the example's image be there: present, pulled, or built from the machine's own busybox. */
export async function pullImage(engine: Engine, reference: string): Promise<void> {
  try {
    await engine.inspectImage(reference);
    return;
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
  }
  const colon = reference.lastIndexOf(":");
  try {
    const messages = engine.pullImage({
      repository: reference.slice(0, colon),
      tagOrDigest: reference.slice(colon + 1),
      signal: AbortSignal.timeout(pullBudgetMs),
    });
    const progress = messages[Symbol.asyncIterator]();
    while ((await progress.next()).done !== true);
  } catch {
    process.stdout.write("(no registry, built from this machine's busybox) ");
    await engine.loadImage(
      await imageArchive({
        references: [reference],
        files: busyboxFiles(),
        config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
      }),
    );
  }
}
