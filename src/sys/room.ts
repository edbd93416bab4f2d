import type { Writable } from "node:stream";

/** Resolves when the sink takes more, or will never again, or when it no longer matters. */
export function roomIn(sink: Writable, dropped?: AbortSignal): Promise<void> {
  if (!sink.writable || !sink.writableNeedDrain || dropped?.aborted === true) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ["drain", "close", "error", "finish"]) sink.off(event, done);
      dropped?.removeEventListener("abort", done);
      resolve();
    };
    for (const event of ["drain", "close", "error", "finish"]) sink.on(event, done);
    dropped?.addEventListener("abort", done);
  });
}
