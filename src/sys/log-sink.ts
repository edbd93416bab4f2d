import { write } from "node:fs";

/** What waits for a reader that is slow; beyond it lines are dropped and counted. */
const LIMIT_BYTES = 4 << 20;
const AGAIN_MS = 25;

/**
 * Lines for a file descriptor whose reader may stall: systemd's stdout is a socket, and a journal that
 * waits for its disk must not stop the thread that answers the kubelet. Lines are written in order by
 * Node's thread pool; when too many wait, later ones are dropped, and a line then says how many.
 */
export class LogSink {
  readonly #fd: number;
  readonly #limit: number;
  readonly #lossLine: (lines: number) => string;
  #waiting: string[] = [];
  #bytes = 0;
  #dropped = 0;
  #writing = false;
  #broken = false;
  #emptied: (() => void)[] = [];

  /** @param lossLine gives the line that tells of so many dropped ones */
  constructor(fd: number, lossLine: (lines: number) => string, limitBytes = LIMIT_BYTES) {
    this.#fd = fd;
    this.#lossLine = lossLine;
    this.#limit = limitBytes;
  }

  write(line: string): void {
    if (this.#broken) return;
    const bytes = Buffer.byteLength(line);
    if (this.#bytes + bytes > this.#limit) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#bytes += bytes;
    if (this.#writing) return;
    this.#writing = true;
    // Lines of one turn of the event loop go out together.
    setImmediate(() => this.#next());
  }

  /** Resolves with true when all is written, with false when that takes longer than `limitMs`. */
  drained(limitMs: number): Promise<boolean> {
    if (!this.#writing) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), limitMs);
      this.#emptied.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #next(): void {
    if (this.#waiting.length === 0 && this.#dropped > 0) {
      this.#waiting.push(this.#lossLine(this.#dropped));
      this.#dropped = 0;
    }
    const text = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    if (text.length > 0 && !this.#broken) this.#put(text, text.length);
    else {
      this.#writing = false;
      for (const done of this.#emptied.splice(0)) done();
    }
  }

  #put(rest: Buffer, whole: number): void {
    write(this.#fd, rest, (error, written) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#put(rest, whole), AGAIN_MS);
        return;
      }
      // Nobody reads any more, or the disk is full: a log is no reason to end.
      if (error?.code === "EPIPE") this.#broken = true;
      if (error === null && written < rest.length) {
        this.#put(rest.subarray(written), whole);
        return;
      }
      this.#bytes = Math.max(0, this.#bytes - whole);
      this.#next();
    });
  }
}
