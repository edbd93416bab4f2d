import { Duplex } from "node:stream";

/** What a stream asks of the connection that carries it. */
export interface StreamCarrier {
  /** Sends the bytes of all parts, in order. Calls back once the connection takes more. */
  sendData(streamId: number, parts: readonly Buffer[], callback: () => void): void;
  sendFin(streamId: number): void;
  /** The reader has room again. */
  readerReady(stream: SpdyStream): void;
  /** The stream is over; `reset` when one direction was still open. */
  released(stream: SpdyStream, reset: boolean): void;
}

/**
 * One stream of a SPDY connection. Ending it half-closes; destroying it before both directions have
 * ended resets it. A reset by the peer, or the connection's end, shows as "close" without "end" and
 * never as "error": whoever holds a stream has to expect both at any time anyway.
 */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Received bytes for which no WINDOW_UPDATE has gone out. */
  uncreditedBytes = 0;
  /**
   * Set where what came before a reset or the connection's end is still to be read: the stream stays as
   * it is then, neither ended nor closed, until its holder destroys it.
   */
  keepsUnread = false;
  readonly #carrier: StreamCarrier;
  #localClosed = false;
  #remoteClosed: boolean;
  /** Set when the other side knows already: reset by it, or the connection has gone. */
  #abandoned = false;

  constructor(
    carrier: StreamCarrier,
    id: number,
    headers: ReadonlyMap<string, string>,
    remoteClosed: boolean,
  ) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: 64 << 10,
      writableHighWaterMark: 64 << 10,
    });
    this.#carrier = carrier;
    this.id = id;
    this.headers = headers;
    this.#remoteClosed = remoteClosed;
    this.on("error", () => undefined);
    if (remoteClosed) this.push(null);
  }

  get remoteClosed(): boolean {
    return this.#remoteClosed;
  }

  /** Bytes from the peer; false when the reader cannot keep up. */
  receive(bytes: Buffer): boolean {
    if (this.#remoteClosed || this.destroyed) return true;
    return this.push(bytes);
  }

  receiveFin(): void {
    if (this.#remoteClosed) return;
    this.#remoteClosed = true;
    if (!this.destroyed) this.push(null);
  }

  /** The peer reset the stream, or the connection is gone: nothing is sent any more. */
  abandon(): void {
    this.#abandoned = true;
    if (this.keepsUnread) this.#carrier.released(this, false);
    else this.destroy();
  }

  override _read(): void {
    this.#carrier.readerReady(this);
  }

  /** Also what is written by itself: Node's own _write comes here. */
  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    this.#carrier.sendData(
      this.id,
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: () => void): void {
    this.#localClosed = true;
    this.#carrier.sendFin(this.id);
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const complete = this.#localClosed && this.#remoteClosed;
    this.#carrier.released(this, !complete && !this.#abandoned);
    callback(error);
  }
}
