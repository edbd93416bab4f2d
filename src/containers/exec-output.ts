import type { FrameStream } from "../engine/demux.ts";

const blockBytes = 16 * 1024;

/**
 * Output of both streams up to a common cap; what is more is dropped. It is kept in blocks: a command
 * that writes single bytes would otherwise cost a hundred times what it writes.
 */
export class CappedOutput {
  readonly #streams = { stdout: new Blocks(), stderr: new Blocks() };
  #left: number;

  constructor(limitBytes: number) {
    this.#left = limitBytes;
  }

  push(stream: FrameStream, bytes: Uint8Array): void {
    if (this.#left === 0 || (stream !== "stdout" && stream !== "stderr")) return;
    const kept = bytes.subarray(0, this.#left);
    this.#left -= kept.length;
    this.#streams[stream].push(kept);
  }

  all(): { stdout: Uint8Array; stderr: Uint8Array } {
    const { stdout, stderr } = this.#streams;
    return { stdout: stdout.all(), stderr: stderr.all() };
  }
}

class Blocks {
  readonly #full: Uint8Array[] = [];
  #last = Buffer.alloc(0);
  #used = 0;

  /** Copies: the demuxer hands out views of the socket's own buffers. */
  push(bytes: Uint8Array): void {
    const room = Math.min(bytes.length, this.#last.length - this.#used);
    this.#last.set(bytes.subarray(0, room), this.#used);
    this.#used += room;
    if (room === bytes.length) return;
    const rest = bytes.subarray(room);
    if (this.#used > 0) this.#full.push(this.#last);
    // The first one is no larger than it must be: most commands write a line, or nothing.
    const first = this.#full.length === 0 && this.#used === 0;
    this.#last = Buffer.alloc(first ? rest.length : Math.max(rest.length, blockBytes));
    this.#last.set(rest);
    this.#used = rest.length;
  }

  all(): Uint8Array {
    return Buffer.concat([...this.#full, this.#last.subarray(0, this.#used)]);
  }
}
