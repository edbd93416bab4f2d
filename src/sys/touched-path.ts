/** Longest path of Linux. */
const MOST_BYTES = 4096;
const GIVEN_UP = 0;
const LENGTH = 1;
const TOUCHES = 2;
const HEAD_BYTES = 12;

/**
 * What a thread works on, in memory that it shares with whoever watches it: a system call that hangs lets the
 * thread say nothing more.
 */
export class TouchedPath {
  readonly shared: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #bytes: Buffer;
  #last = "";

  /** @param shared that of the other thread */
  constructor(shared = new SharedArrayBuffer(HEAD_BYTES + MOST_BYTES)) {
    this.shared = shared;
    this.#head = new Int32Array(shared, 0, 3);
    this.#bytes = Buffer.from(shared, HEAD_BYTES);
  }

  /** Notes the path that the next calls are for. */
  touch(path: string): void {
    if (path !== this.#last) {
      Atomics.store(this.#head, LENGTH, this.#bytes.write(path));
      this.#last = path;
    }
    // Orders what is above before what is below, so that a path is seen by the other thread, or its `giveUp` by this one.
    Atomics.add(this.#head, TOUCHES, 1);
  }

  /** Nobody waits for this thread any more. */
  get isGivenUp(): boolean {
    return Atomics.load(this.#head, GIVEN_UP) !== 0;
  }

  /** Ends the work of the other thread at its next touch, and gives the path of the last one; "": there was none. */
  giveUp(): string {
    Atomics.store(this.#head, GIVEN_UP, 1);
    Atomics.add(this.#head, TOUCHES, 1);
    return this.#bytes.toString("utf8", 0, Atomics.load(this.#head, LENGTH));
  }
}
