import { createWriteStream } from "node:fs";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { TraceSink } from "./hub.ts";

/** A disk that hangs must not take the memory; what is beyond is left out of the file. */
const maxWaitingBytes = 8 << 20;

export interface TraceFile {
  sink: TraceSink;
  /** Goes on in a new file at the path; what was written before stays in the one that was renamed. */
  reopen(): void;
  close(): Promise<void>;
}

/** What `--trace-file` writes: the events of the trace socket, a JSON line each, root only. */
export function createTraceFile(path: string, log: Logger): TraceFile {
  let file = openFile(path, log);
  return {
    sink: { take: (told) => file.write(told.line()) },
    reopen: () => {
      const old = file;
      file = openFile(path, log);
      void old.close();
    },
    close: () => file.close(),
  };
}

interface OpenFile {
  write(line: string): void;
  close(): Promise<void>;
}

function openFile(path: string, log: Logger): OpenFile {
  const file = createWriteStream(path, { flags: "a", mode: 0o600 });
  let failed = false;
  let leftOut = 0;
  file.on("error", (error) => {
    failed = true;
    log.warn({ error: errorText(error) }, "trace file cannot be written");
  });
  return {
    write: (line) => {
      if (failed) return;
      if (file.writableLength > maxWaitingBytes) {
        if (leftOut === 0) log.warn({ path }, "the disk is too slow for the trace file");
        leftOut += 1;
      } else file.write(line);
    },
    close: () =>
      new Promise((resolve) => {
        if (leftOut > 0) log.warn({ path, events: leftOut }, "events missing in the trace file");
        file.once("close", resolve);
        file.end();
        if (failed) resolve();
      }),
  };
}
