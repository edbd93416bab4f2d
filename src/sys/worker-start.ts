/** What a thread is started with. */
export interface WorkerStart {
  /** Which one: a key of the table in `src/worker.ts`. */
  kind: string;
  /** Of its `TouchedPath`. */
  touched: SharedArrayBuffer;
  data: unknown;
}

/** Sent to a thread; it sends the same back. */
export const areYouThere = "are you there?";
