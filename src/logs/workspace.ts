import { LineBuffer } from "./format.ts";

/**
 * Bytes converted between two turns of the event loop: half a millisecond or so. It also bounds a
 * line; Docker's longest is 16 KiB of content, six times that when all of it is escaped.
 */
const SLICE_BYTES = 256 * 1024;
/** Slices in one round, so that a reopen waits for little. */
export const ROUND_SLICES = 8;

/** The buffers that one round works in; shared by all containers, one after the other. */
export interface Workspace {
  input: Buffer;
  output: LineBuffer;
}

export function createWorkspace(): Workspace {
  return { input: Buffer.allocUnsafeSlow(SLICE_BYTES), output: new LineBuffer(SLICE_BYTES) };
}
