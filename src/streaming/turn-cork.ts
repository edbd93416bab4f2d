import type { Writable } from "node:stream";

/**
 * Returns what is called before a write: all that is written in the same turn of the loop then
 * leaves in one system call.
 */
export function turnCork(target: Writable): () => void {
  let corked = false;
  return () => {
    if (corked) return;
    corked = true;
    target.cork();
    process.nextTick(() => {
      corked = false;
      target.uncork();
    });
  };
}
