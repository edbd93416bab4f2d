import type { Duplex } from "node:stream";

/** Bytes. A frame's payload may be one ttrpc message of the greatest size. */
export const MAX_FRAME = 4 * 1024 * 1024 + 10;
/** Connection on which the runtime calls the plugin, and the one on which the plugin calls the runtime. */
export const PLUGIN_CONNECTION = 1;
export const RUNTIME_CONNECTION = 2;

const HEADER = 8;
/** Bytes that may wait for a peer that does not read. A message to it is sent whole, so several fit in. */
export const MAX_WAITING = 16 * 1024 * 1024;
/**
 * Bytes. A peer in Go reads the beginning of a message into a buffer of this size and dies of a frame that does not
 * fit in; the rest of a message it reads in one piece of whatever size.
 */
const FIRST_FRAME = 4096;

export interface MuxEvents {
  /** Bytes of a logical connection, as they come: the borders of frames mean nothing. */
  onData(connection: number, bytes: Uint8Array): void;
  /** Once, whatever ended it. */
  onClose(reason: string): void;
}

/** Logical connections over one stream. The caller sends whole ttrpc messages. */
export class Mux {
  readonly #stream: Duplex;
  readonly #events: MuxEvents;
  readonly #header = new Uint8Array(HEADER);
  #headerLength = 0;
  #connection = 0;
  /** Bytes of the frame's payload that are still to come. */
  #left = 0;
  #closed = false;

  constructor(stream: Duplex, events: MuxEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on("data", (chunk: Uint8Array) => this.#read(chunk));
    stream.on("drain", () => stream.resume());
    stream.on("error", (error: Error) => this.close(error.message));
    stream.on("end", () => this.close("connection closed by the plugin"));
    stream.on("close", () => this.close("connection closed"));
    stream.resume();
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(connection: number, message: Uint8Array): void {
    if (this.#closed) return;
    const frames = toFrames(connection, message);
    let flows = true;
    for (const frame of frames) flows = this.#stream.write(frame);
    // Whoever does not read its answers is not read either.
    if (!flows) this.#stream.pause();
    // Events go out all the same.
    const waiting = this.#stream.writableLength;
    if (waiting > MAX_WAITING) this.close(`the plugin does not read: ${waiting} bytes wait for it`);
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.destroy();
    this.#events.onClose(reason);
  }

  #read(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#closed) {
      if (this.#left === 0) {
        at += this.#readHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      const bytes = chunk.subarray(at, end);
      this.#left -= bytes.length;
      at = end;
      if (this.#connection === PLUGIN_CONNECTION || this.#connection === RUNTIME_CONNECTION) {
        this.#events.onData(this.#connection, bytes);
      }
    }
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    const taken = chunk.subarray(at, at + HEADER - this.#headerLength);
    this.#header.set(taken, this.#headerLength);
    this.#headerLength += taken.length;
    if (this.#headerLength === HEADER) {
      this.#headerLength = 0;
      const view = new DataView(this.#header.buffer);
      this.#connection = view.getUint32(0);
      this.#left = view.getUint32(4);
      if (this.#left > MAX_FRAME) this.close(`frame of ${this.#left} bytes`);
    }
    return taken.length;
  }
}

/** A message of at most 4096 bytes is one frame; a longer one is two, the first of them 4096 bytes long. */
export function toFrames(connection: number, message: Uint8Array): Uint8Array[] {
  const parts =
    message.length <= FIRST_FRAME
      ? [message]
      : [message.subarray(0, FIRST_FRAME), message.subarray(FIRST_FRAME)];
  return parts.map((part) => {
    const frame = new Uint8Array(HEADER + part.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, connection);
    view.setUint32(4, part.length);
    frame.set(part, HEADER);
    return frame;
  });
}
