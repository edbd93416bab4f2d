import type { Duplex } from "node:stream";
import type { Logger } from "../../log.ts";
import { destroyOnceIdle } from "../stalled.ts";
import { turnCork } from "../turn-cork.ts";
import {
  FrameDecoder,
  SpdyError,
  dataFrames,
  dataHeader,
  encodeGoAway,
  encodeInitialWindow,
  encodePing,
  encodeRstStream,
  encodeSettings,
  encodeSynReply,
  encodeWindowUpdate,
  goAwayStatus,
  rstStatus,
} from "./frames.ts";
import type { Frame } from "./frames.ts";
import { HeaderDeflater, HeaderInflater } from "./headers.ts";
import { SpdyStream } from "./stream.ts";
import type { StreamCarrier } from "./stream.ts";

export interface SpdyConnectionOptions {
  /** Takes a new stream, which is answered already, or refuses it with false. */
  onStream: (stream: SpdyStream) => boolean;
  log: Logger;
  /** Open streams at once; more are refused one by one. Default 256. */
  maxStreams?: number;
}

/** PING, SETTINGS, HEADERS and unknown frames together; client-go pings every 10 s. */
const maxControlFrames = 128;
const controlPeriodMs = 10_000;
/**
 * How many bytes a peer that honours windows may send unacknowledged, per connection and per stream. With
 * the protocol's default of 64 KiB nearly every read would need a window frame, which Go's client ignores.
 */
const windowBytes = 1 << 20;
const protocolWindowBytes = 64 << 10;
const creditBytes = windowBytes / 2;
/** While we do not read, the peer's death only shows in a write. */
const probePeriodMs = 500;
/** A peer that neither reads nor closes for so long after our GOAWAY is cut off. */
const closeTimeoutMs = 5_000;

/**
 * The server side of a SPDY/3.1 connection over any byte stream. Windows are not waited for, since
 * Go's client never opens them; a slow reader of one stream stops the reading of the connection, so
 * TCP slows the peer down, as with the Go server.
 */
export class SpdyConnection implements StreamCarrier {
  /** Resolves when the byte stream has closed, whatever the reason. */
  readonly closed: Promise<void>;
  readonly #transport: Duplex;
  readonly #cork: () => void;
  readonly #options: SpdyConnectionOptions;
  readonly #decoder = new FrameDecoder();
  readonly #inflater = new HeaderInflater();
  readonly #deflater = new HeaderDeflater();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #full = new Set<SpdyStream>();
  #waiting: (() => void)[] = [];
  #lastStreamId = 0;
  #uncreditedBytes = 0;
  #controlFrames = { count: 0, sinceMs: 0 };
  #closing = false;
  #probe: NodeJS.Timeout | undefined;
  #stopClosing: (() => void) | undefined;

  constructor(transport: Duplex, options: SpdyConnectionOptions) {
    this.#transport = transport;
    this.#cork = turnCork(transport);
    this.#options = options;
    this.closed = new Promise((resolve) => {
      const onClose = (): void => {
        this.#release();
        resolve();
      };
      // What is destroyed already may have said so before.
      if (transport.destroyed) onClose();
      else transport.once("close", onClose);
    });
    transport.on("error", (err) => {
      options.log.debug({ err }, "streaming connection failed");
      transport.destroy();
    });
    transport.on("drain", () => this.#resumeWriters());
    transport.on("data", (chunk: Buffer) => this.#receive(chunk));
    // SPDY has no use for a half-closed connection: without the peer's side nothing more can be said.
    transport.on("end", () => transport.destroy());
    this.#write(encodeInitialWindow(windowBytes));
    this.#write(encodeWindowUpdate(0, windowBytes - protocolWindowBytes));
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Says GOAWAY once everything queued before is on its way, then ends the connection. */
  async close(): Promise<void> {
    this.#goAway(goAwayStatus.ok);
    await this.closed;
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#transport.destroy();
  }

  sendData(streamId: number, parts: readonly Buffer[], callback: () => void): void {
    let room = true;
    for (const bytes of dataFrames(streamId, parts)) room = this.#write(bytes);
    if (room || this.#transport.destroyed) callback();
    else this.#waiting.push(callback);
  }

  sendFin(streamId: number): void {
    this.#write(dataHeader(streamId, 0, true));
  }

  readerReady(stream: SpdyStream): void {
    if (!this.#full.delete(stream)) return;
    this.#credit(stream, 0);
    if (this.#full.size === 0) this.#transport.resume();
  }

  released(stream: SpdyStream, reset: boolean): void {
    if (this.#streams.get(stream.id) === stream) this.#streams.delete(stream.id);
    if (reset) this.#write(encodeRstStream(stream.id, rstStatus.cancel));
    if (this.#full.delete(stream) && this.#full.size === 0) this.#transport.resume();
  }

  #write(bytes: Buffer): boolean {
    if (this.#transport.destroyed || this.#transport.writableEnded) return true;
    this.#cork();
    return this.#transport.write(bytes);
  }

  #resumeWriters(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }

  #receive(chunk: Buffer): void {
    if (this.#stopClosing !== undefined) return;
    try {
      for (const frame of this.#decoder.push(chunk)) this.#onFrame(frame);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#options.log.warn({ err: error }, "streaming client broke the SPDY protocol");
      this.#goAway(goAwayStatus.protocolError);
      for (const stream of [...this.#streams.values()]) stream.abandon();
    }
  }

  #onFrame(frame: Frame): void {
    switch (frame.type) {
      case "data":
        this.#onData(frame);
        break;
      case "synStream":
        this.#onSynStream(frame);
        break;
      case "rstStream":
        this.#streams.get(frame.streamId)?.abandon();
        break;
      case "ping":
        this.#countControl();
        // The peer's own pings have odd numbers; even ones would answer pings we never send.
        if (frame.id % 2 === 1) this.#write(encodePing(frame.id));
        break;
      case "headers":
      case "synReply":
        this.#countControl();
        this.#inflater.inflate(frame.block);
        if (frame.fin) this.#streams.get(frame.streamId)?.receiveFin();
        break;
      case "settings":
      case "unknown":
        this.#countControl();
        break;
      case "goAway":
      case "windowUpdate":
        break;
    }
  }

  #onData(frame: Extract<Frame, { type: "data" }>): void {
    const { bytes } = frame;
    // A stream that is over by now is none of the peer's faults; one that never was is.
    if (frame.streamId > this.#lastStreamId) {
      throw new SpdyError(`data frame for stream ${frame.streamId}, which was never opened`);
    }
    const stream = this.#streams.get(frame.streamId);
    this.#uncreditedBytes += bytes.length;
    if (stream !== undefined && bytes.length > 0 && !stream.receive(bytes)) {
      this.#full.add(stream);
      this.#transport.pause();
      this.#startProbe();
    }
    this.#credit(stream, bytes.length);
    if (frame.fin) stream?.receiveFin();
  }

  /** Opens the windows of peers that keep them, for the connection (stream 0) and for the stream. */
  #credit(stream: SpdyStream | undefined, bytes: number): void {
    if (this.#uncreditedBytes >= creditBytes) {
      this.#write(encodeWindowUpdate(0, this.#uncreditedBytes));
      this.#uncreditedBytes = 0;
    }
    if (stream === undefined) return;
    stream.uncreditedBytes += bytes;
    if (stream.uncreditedBytes < creditBytes || this.#full.has(stream) || stream.remoteClosed)
      return;
    this.#write(encodeWindowUpdate(stream.id, stream.uncreditedBytes));
    stream.uncreditedBytes = 0;
  }

  #onSynStream(frame: Extract<Frame, { type: "synStream" }>): void {
    const headers = this.#inflater.inflate(frame.block);
    const { streamId } = frame;
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId) {
      throw new SpdyError(`stream id ${streamId} after ${this.#lastStreamId}`);
    }
    this.#lastStreamId = streamId;
    const room = this.#streams.size < (this.#options.maxStreams ?? 256);
    if (!room || this.#closing || frame.unidirectional) {
      // Not counted as a control frame: the refusal is ours, and must not end what works.
      this.#write(encodeRstStream(streamId, rstStatus.refusedStream));
      return;
    }
    const stream = new SpdyStream(this, streamId, headers, frame.fin);
    this.#streams.set(streamId, stream);
    // Before any data: Go's client drops what comes ahead of the reply.
    const reply = encodeSynReply(streamId, this.#deflater.deflate(new Map()));
    this.#write(reply);
    if (!this.#options.onStream(stream)) stream.destroy();
  }

  #countControl(): void {
    const nowMs = performance.now();
    const control = this.#controlFrames;
    if (nowMs - control.sinceMs > controlPeriodMs) {
      this.#controlFrames = { count: 1, sinceMs: nowMs };
      return;
    }
    control.count += 1;
    if (control.count > maxControlFrames) throw new SpdyError("too many control frames");
  }

  /** An empty SETTINGS asks for no answer, which a peer that is blocked in a write could not give. */
  #startProbe(): void {
    this.#probe ??= setInterval(() => {
      if (this.#full.size === 0) {
        clearInterval(this.#probe);
        this.#probe = undefined;
      } else if (!this.#transport.writableNeedDrain) this.#write(encodeSettings());
    }, probePeriodMs);
  }

  #goAway(status: number): void {
    if (this.#closing || this.#transport.destroyed) return;
    this.#closing = true;
    this.#write(encodeGoAway(this.#lastStreamId, status));
    const transport = this.#transport;
    const startTimer = (): void => {
      if (transport.destroyed) return;
      this.#stopClosing = destroyOnceIdle(transport, closeTimeoutMs, () => transport.destroy());
      // Whatever still comes is dropped, but has to be read for the peer's end to be seen.
      transport.resume();
    };
    // The time counts from the moment that our kernel has everything.
    if (status === goAwayStatus.ok) transport.end(startTimer);
    else {
      transport.end();
      startTimer();
    }
  }

  #release(): void {
    this.#closing = true;
    clearInterval(this.#probe);
    this.#stopClosing?.();
    for (const stream of [...this.#streams.values()]) stream.abandon();
    this.#full.clear();
    this.#resumeWriters();
  }
}
