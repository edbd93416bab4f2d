import type { Duplex } from "node:stream";
import { FrameDecoder, dataHeader, encodeSynStream } from "../../src/streaming/spdy/frames.ts";
import type { Frame } from "../../src/streaming/spdy/frames.ts";
import { HeaderDeflater } from "../../src/streaming/spdy/headers.ts";

/** The client side of a SPDY connection, as plainly as a test wants to see it. */
export class SpdyClient {
  readonly frames: Frame[] = [];
  readonly transport: Duplex;
  closed = false;
  readonly #decoder = new FrameDecoder();
  readonly #deflater = new HeaderDeflater();
  #nextId = 1;
  #waiting: (() => void)[] = [];

  constructor(transport: Duplex) {
    this.transport = transport;
    transport.on("data", (chunk: Buffer) => {
      this.frames.push(...this.#decoder.push(chunk));
      this.#wake();
    });
    transport.on("error", () => undefined);
    for (const event of ["end", "close"]) {
      transport.on(event, () => {
        this.closed = true;
        this.#wake();
      });
    }
  }

  /** Opens a stream and returns its id. */
  open(headers: Record<string, string> = {}, fin = false): number {
    const id = this.#nextId;
    this.#nextId += 2;
    const block = this.#deflater.deflate(new Map(Object.entries(headers)));
    this.transport.write(encodeSynStream(id, block, fin));
    return id;
  }

  send(id: number, text: string | Buffer, fin = false): void {
    const bytes = Buffer.from(text);
    this.transport.write(Buffer.concat([dataHeader(id, bytes.length, fin), bytes]));
  }

  /** All that came on a stream so far, and whether it was finished. */
  received(id: number): { text: string; fin: boolean } {
    const frames = this.frames.filter((frame) => frame.type === "data" && frame.streamId === id);
    const parts = frames.map((frame) => (frame.type === "data" ? frame.bytes : Buffer.alloc(0)));
    const fin = frames.some((frame) => frame.type === "data" && frame.fin);
    return { text: Buffer.concat(parts).toString("utf8"), fin };
  }

  has(type: Frame["type"], streamId?: number): boolean {
    return this.frames.some(
      (frame) =>
        frame.type === type &&
        (streamId === undefined || ("streamId" in frame && frame.streamId === streamId)),
    );
  }

  /** Waits until the condition holds; rejects when the connection closes before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error("the connection closed");
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
