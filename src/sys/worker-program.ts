import { readFileSync } from "node:fs";

declare const DOCKLINE_WORKER: string | undefined;

/** The first argument of a Worker, and whether it is the text of the program. */
export interface WorkerProgram {
  program: string | URL;
  eval: boolean;
}

let kept: WorkerProgram | undefined;

/**
 * What all threads are started from: the source, or the file beside the bundle. That one is read once, for a
 * thread that is started later has to be of the same release, whatever was installed meanwhile.
 */
export function workerProgram(): WorkerProgram {
  kept ??=
    // Put in place by the bundler.
    typeof DOCKLINE_WORKER === "string"
      ? { program: readFileSync(new URL(DOCKLINE_WORKER, import.meta.url), "utf8"), eval: true }
      : { program: new URL("../worker.ts", import.meta.url), eval: false };
  return kept;
}
