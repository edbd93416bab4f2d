const nobodyWrites = new Int32Array(new SharedArrayBuffer(4));

/** Stops this thread for so many milliseconds: for a few of them, in a worker. */
export function sleepInPlace(ms: number): void {
  Atomics.wait(nobodyWrites, 0, 0, ms);
}
