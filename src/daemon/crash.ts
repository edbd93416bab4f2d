import { write } from "node:fs";
import type { ProcessLogger } from "../log.ts";
import { endWorkers } from "../sys/watched-worker.ts";

/** How long the last lines of the log may take to be read. */
const LAST_WORDS_MS = 1_000;
const STDERR_MS = 100;
/** For threads to end. */
const WORKERS_MS = 1_000;

/**
 * An exception that nobody caught leaves locks, sessions and the index in an unknown state, and every
 * state is one from which a start can go on: the process ends with exit code 1, and systemd starts it
 * again. A promise that nobody waited for is a defect that leaves nothing half done: it is logged.
 */
export function installCrashHandlers(log: ProcessLogger): void {
  let ending = false;
  process.on("unhandledRejection", (err) => log.error({ err }, "unhandled rejection"));
  process.on("uncaughtException", (err) => {
    log.error({ err }, "uncaught exception, dockline ends");
    if (ending) return;
    ending = true;
    void endProcess(log, 1, `dockline: uncaught exception: ${String(err)}\n`);
  });
}

/**
 * Ends this process once its log is written, or after a second in which nobody has read it. Where the
 * log cannot have the reason it goes to stderr, as far as that takes it at once. With a thread that hangs it
 * ends by SIGKILL, whatever the code.
 *
 * @param workersEnd whether all threads have ended, where they have been asked to already
 */
export async function endProcess(
  log: ProcessLogger,
  code: number,
  reason = "",
  workersEnd?: boolean,
): Promise<void> {
  const ended = workersEnd ?? (await endWorkers(WORKERS_MS));
  const written = await log.written(LAST_WORDS_MS);
  const said = (written && log.speaks) || (await toStderr(reason));
  // A write that hangs would keep `exit` waiting for its thread, as would a worker on a disk that hangs.
  if (ended && written && said) process.exit(code);
  else process.kill(process.pid, "SIGKILL");
}

/** Not by `process.stderr`, which waits for its reader: that may be the same stalled journal. */
function toStderr(text: string): Promise<boolean> {
  if (text === "") return Promise.resolve(true);
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), STDERR_MS);
    write(2, text, () => resolve(true));
  });
}
