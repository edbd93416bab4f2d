import { createWriteStream } from "node:fs";
import type { CallListener } from "./cri/observe.ts";
import { errorText } from "./errors.ts";
import type { Logger } from "./log.ts";

/** One JSON line for each CRI call: what `--trace-file` writes. Names and times only, no secrets. */
export function createTraceFile(
  path: string,
  log: Logger,
): { record: CallListener; close: () => void } {
  const file = createWriteStream(path, { flags: "a", mode: 0o600 });
  file.on("error", (error) => {
    log.warn({ error: errorText(error) }, "trace file cannot be written");
  });
  return {
    record: ({ rpc, subject, code, durationMs, steps }) => {
      file.write(
        `${JSON.stringify({ at: new Date().toISOString(), rpc, subject, code, durationMs, steps })}\n`,
      );
    },
    close: () => {
      file.end();
    },
  };
}
