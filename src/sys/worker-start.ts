/** What a thread is started with. */
export interface WorkerStart<Data = unknown> {
  /** Which one: a key of the table in `src/worker.ts`. */
  kind: string;
  /** Of its `TouchedPath`. */
  touched: SharedArrayBuffer;
  data: Data;
}

/** Sent to a thread; it sends the same back. */
export const areYouThere = "are you there?";
