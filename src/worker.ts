import { workerData } from "node:worker_threads";
import type { WorkerStart } from "./sys/worker-start.ts";

/** The threads of the daemon, for work whose system calls may hang. */
const kinds: Record<string, () => Promise<{ run(start: WorkerStart): void }>> = {
  logs: () => import("./logs/worker.ts"),
};

const start = workerData as WorkerStart;
const load = kinds[start.kind];
if (load === undefined) throw new Error(`there is no thread of the kind ${start.kind}`);
void load().then((kind) => {
  kind.run(start);
});
