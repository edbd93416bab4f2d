import { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Logger } from "../log.ts";
import { createCommandChannels } from "./channels.ts";
import type { CommandChannels, WantedStreams } from "./channels.ts";
import type { CommandProtocol } from "./protocols.ts";
import { sendChunks } from "./send-chunks.ts";
import { destroyOnceIdle } from "./stalled.ts";

const closeSignal = 255;
const normalClosure = 1000;
const protocolErrorClosure = 1002;
const closeTimeoutMs = 5_000;
const probePeriodMs = 500;

/** The channel numbers of remote commands; the first three are the file descriptors. */
const commandChannel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** One numbered channel. Like a SPDY stream it closes without "error" when the connection dies. */
export class WebSocketChannel extends Duplex {
  readonly #mux: WebSocketMux;
  readonly #number: number;
  /** Set where what came before the connection's end is still to be read; its holder destroys it then. */
  keepsUnread = false;
  #ended = false;

  constructor(mux: WebSocketMux, number: number) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: 64 << 10,
      writableHighWaterMark: 64 << 10,
    });
    this.#mux = mux;
    this.#number = number;
    this.on("error", () => undefined);
  }

  /** Bytes from the peer; false when the reader cannot keep up. */
  receive(bytes: Buffer): boolean {
    if (this.#ended || this.destroyed || bytes.length === 0) return true;
    return this.push(bytes);
  }

  receiveEnd(): void {
    if (this.#ended || this.destroyed) return;
    this.#ended = true;
    this.push(null);
  }

  override _read(): void {
    this.#mux.readerReady(this);
  }

  /** Also what is written by itself: Node's own _write comes here. */
  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    this.#mux.send(
      this.#number,
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#mux.readerReady(this);
    callback(error);
  }
}

/**
 * Several channels over one WebSocket: each message starts with its channel, as a byte, or as a digit
 * before base64 text. A slow reader of one channel stops the reading of all.
 */
export class WebSocketMux {
  readonly gone: AbortSignal;
  readonly #ws: WebSocket;
  readonly #connection: Duplex;
  readonly #base64: boolean;
  readonly #closeSignal: boolean;
  readonly #channels = new Map<number, WebSocketChannel>();
  readonly #full = new Set<WebSocketChannel>();
  readonly #closed: Promise<void>;
  #probe: NodeJS.Timeout | undefined;

  /** `connection` carries the WebSocket. */
  constructor(
    ws: WebSocket,
    connection: Duplex,
    form: { base64: boolean; closeSignal: boolean },
    log: Logger,
  ) {
    this.#ws = ws;
    this.#connection = connection;
    this.#base64 = form.base64;
    this.#closeSignal = form.closeSignal;
    const gone = new AbortController();
    this.gone = gone.signal;
    ws.on("message", (data) => this.#receive(data as Buffer));
    ws.on("error", (err) => log.debug({ err }, "streaming WebSocket failed"));
    this.#closed = new Promise((resolve) => {
      ws.once("close", () => {
        clearInterval(this.#probe);
        for (const channel of this.#channels.values()) {
          if (!channel.keepsUnread) channel.destroy();
        }
        gone.abort();
        resolve();
      });
    });
  }

  open(number: number): WebSocketChannel {
    const channel = new WebSocketChannel(this, number);
    this.#channels.set(number, channel);
    return channel;
  }

  /** Sends the bytes of all parts, in order, in as few messages as they fit in; none make an empty one. */
  send(number: number, parts: readonly Buffer[], callback: () => void): void {
    const chunks = [...sendChunks(parts)];
    const last = chunks.pop() ?? [];
    for (const pieces of chunks) this.#sendMessage(number, pieces, () => undefined);
    // A connection that is gone swallows it; its channels are being destroyed.
    this.#sendMessage(number, last, callback);
  }

  #sendMessage(number: number, pieces: readonly Buffer[], callback: () => void): void {
    if (this.#base64) {
      const text = `${number}${Buffer.concat(pieces).toString("base64")}`;
      this.#ws.send(text, { binary: false }, () => callback());
      return;
    }
    const message = Buffer.concat([Buffer.from([number]), ...pieces]);
    this.#ws.send(message, { binary: true }, () => callback());
  }

  readerReady(channel: WebSocketChannel): void {
    if (!this.#full.delete(channel) || this.#full.size > 0) return;
    clearInterval(this.#probe);
    this.#probe = undefined;
    this.#ws.resume();
  }

  async close(): Promise<void> {
    this.#ws.close(normalClosure);
    const stop = destroyOnceIdle(this.#connection, closeTimeoutMs, () => this.#ws.terminate());
    // The answer to our close frame has to be read.
    this.#ws.resume();
    await this.#closed;
    stop();
  }

  #receive(message: Buffer): void {
    if (message.length === 0) return;
    const first = message.readUInt8(0);
    if (this.#closeSignal && first === closeSignal) {
      const number = message.length === 2 ? message.readUInt8(1) : closeSignal;
      if (number > commandChannel.resize) this.#ws.close(protocolErrorClosure);
      else this.#channels.get(number)?.receiveEnd();
      return;
    }
    const channel = this.#channels.get(this.#base64 ? first - 0x30 : first);
    if (channel === undefined) return;
    const bytes = this.#base64
      ? Buffer.from(message.toString("latin1", 1), "base64")
      : message.subarray(1);
    if (channel.receive(bytes)) return;
    this.#full.add(channel);
    this.#ws.pause();
    // While paused, the peer's death only shows in a write; a pong also tells it that we live.
    this.#probe ??= setInterval(() => {
      if (this.#ws.bufferedAmount === 0) this.#ws.pong();
    }, probePeriodMs);
  }
}

/** The channels of an exec or attach; the first message tells the client that they are there. */
export function openWebSocketChannels(
  ws: WebSocket,
  connection: Duplex,
  options: { wanted: WantedStreams; protocol: CommandProtocol; log: Logger },
): CommandChannels {
  const { wanted, protocol } = options;
  const mux = new WebSocketMux(ws, connection, protocol, options.log);
  const openIf = (
    wish: boolean,
    name: keyof typeof commandChannel,
  ): WebSocketChannel | undefined => (wish ? mux.open(commandChannel[name]) : undefined);
  const stdin = openIf(wanted.stdin, "stdin");
  if (stdin !== undefined) stdin.keepsUnread = true;
  const stdout = openIf(wanted.stdout, "stdout");
  const stderr = openIf(wanted.stderr, "stderr");
  const error = mux.open(commandChannel.error);
  const resize = mux.open(commandChannel.resize);
  for (const output of [stdout, stderr, error]) output?.resume();
  const lowest = wanted.stdout ? "stdout" : wanted.stderr ? "stderr" : "error";
  mux.send(commandChannel[lowest], [], () => undefined);
  return createCommandChannels({
    ...{ stdin, stdout, stderr, resize, error },
    gone: mux.gone,
    statusForm: protocol.statusForm,
    close: () => mux.close(),
  });
}
