import type { Readable, Writable } from "node:stream";
import { roomIn } from "../sys/room.ts";
import { EngineError } from "./errors.ts";
import { oneLine } from "./error-text.ts";
import { toEngineError } from "./failures.ts";

/** "system" carries an error of the engine itself, after which it closes the stream. */
export type FrameStream = "stdout" | "stderr" | "system";

/** By number; what is marked as input is output all the same, as with Docker's own client. */
const streamNames: readonly FrameStream[] = ["stdout", "stdout", "stderr", "system"];
const headerBytes = 8;
/** The engine writes at most some tens of KiB at once; more is not a frame header. */
const maxFrameBytes = 64 << 20;
const maxSystemErrorBytes = 4096;

/** The bytes are not Docker's frames: a tty's raw output, or a stream out of step. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/**
 * Docker's framing of output without a tty: stream number, three zero bytes, big-endian length,
 * payload. Payload is handed on as it arrives, as views of the pushed bytes, so neither a frame's
 * length nor the way the bytes were cut costs memory or copies.
 */
export class FrameDecoder {
  readonly #onPayload: (stream: FrameStream, bytes: Buffer) => void;
  readonly #header = Buffer.alloc(headerBytes);
  #headerSize = 0;
  #stream: FrameStream = "stdout";
  #left = 0;

  constructor(onPayload: (stream: FrameStream, bytes: Buffer) => void) {
    this.#onPayload = onPayload;
  }

  /** True between frames: the stream may end here. */
  get complete(): boolean {
    return this.#headerSize === 0 && this.#left === 0;
  }

  /** Throws FrameError. */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left === 0) {
        at = this.#readHeader(bytes, at);
        continue;
      }
      const part = bytes.subarray(at, at + this.#left);
      this.#left -= part.length;
      at += part.length;
      this.#onPayload(this.#stream, part);
    }
  }

  #readHeader(bytes: Buffer, at: number): number {
    const copied = bytes.copy(
      this.#header,
      this.#headerSize,
      at,
      at + headerBytes - this.#headerSize,
    );
    this.#headerSize += copied;
    if (this.#headerSize === headerBytes) {
      this.#headerSize = 0;
      const stream = streamNames[this.#header.readUInt8(0)];
      const length = this.#header.readUInt32BE(4);
      if (stream === undefined || this.#header.readUIntBE(1, 3) !== 0 || length > maxFrameBytes) {
        throw new FrameError(`${this.#header.toString("hex")} is not a frame header`);
      }
      this.#stream = stream;
      this.#left = length;
    }
    return at + copied;
  }
}

export interface CopyOptions {
  /** Sees everything first. */
  note?: (stream: FrameStream, bytes: Buffer) => void;
  /** From its abort on nothing is written any more, and no sink is waited for. */
  dropped?: AbortSignal;
}

/**
 * Copies a framed stream to its sinks until it ends, no faster than they take it. A sink that is
 * missing, or gone by then, has its share dropped: a client that left must not stall the process.
 * The sinks are not ended. Rejects with EngineError when the stream breaks off.
 */
export async function demux(
  source: Readable,
  sinks: { stdout?: Writable | undefined; stderr?: Writable | undefined },
  { note, dropped }: CopyOptions = {},
): Promise<void> {
  const operation = "read container output";
  const full = new Set<Writable>();
  const systemError: Buffer[] = [];
  let systemErrorSize = 0;
  const corked = [sinks.stdout, sinks.stderr].filter((sink) => sink !== undefined);
  const decoder = new FrameDecoder((stream, bytes) => {
    if (stream === "system") {
      if (systemErrorSize < maxSystemErrorBytes) systemError.push(Buffer.from(bytes));
      systemErrorSize += bytes.length;
      return;
    }
    note?.(stream, bytes);
    const sink = stream === "stderr" ? sinks.stderr : sinks.stdout;
    if (sink?.writable !== true || dropped?.aborted === true) return;
    if (!sink.write(bytes)) full.add(sink);
  });
  try {
    for await (const chunk of source) {
      // The parts of one read are given to a sink together: it may make one message of them.
      for (const sink of corked) sink.cork();
      try {
        decoder.push(chunk as Buffer);
      } finally {
        for (const sink of corked) sink.uncork();
      }
      for (const sink of full) await roomIn(sink, dropped);
      full.clear();
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw toEngineError(error, operation);
    throw failed(operation, "protocol", error.message);
  }
  if (systemError.length > 0) {
    throw failed(operation, "protocol", oneLine(Buffer.concat(systemError).toString("utf8")));
  }
  if (!decoder.complete) throw failed(operation, "unreachable", "the stream broke off");
}

function failed(operation: string, failure: "protocol" | "unreachable", what: string): EngineError {
  return new EngineError({ failure, operation, message: `${operation}: ${what}` });
}
