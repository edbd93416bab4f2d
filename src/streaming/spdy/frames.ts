/**
 * SPDY/3.1 frames as bytes, without any I/O (draft-mbelshe-httpbis-spdy-00 §2.2, §2.6; the dialect is
 * the one of moby/spdystream, which kubectl and the kubelet speak). Every frame starts with 8 bytes:
 * one bit "control", then either a 31-bit stream id or version and type; then flags and a 24-bit length.
 */
import { sendChunks } from "../send-chunks.ts";

export type Frame =
  /** A DATA frame, or a part of one: only the last part carries the frame's FIN. */
  | { type: "data"; streamId: number; bytes: Buffer; fin: boolean }
  | {
      type: "synStream";
      streamId: number;
      /** Still compressed: the header state spans all frames of a connection. */
      block: Buffer;
      fin: boolean;
      unidirectional: boolean;
    }
  | { type: "synReply"; streamId: number; block: Buffer; fin: boolean }
  | { type: "headers"; streamId: number; block: Buffer; fin: boolean }
  | { type: "rstStream"; streamId: number; status: number }
  | { type: "settings"; count: number }
  | { type: "ping"; id: number }
  | { type: "goAway"; lastStreamId: number; status: number }
  | { type: "windowUpdate"; streamId: number; delta: number }
  /** A control frame of a type we do not know; its payload is dropped. */
  | { type: "unknown"; control: number };

/** The peer broke the protocol; the connection cannot go on. */
export class SpdyError extends Error {
  override readonly name = "SpdyError";
}

export const rstStatus = {
  protocolError: 1,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
} as const;

export const goAwayStatus = { ok: 0, protocolError: 1 } as const;

/** Largest control frame we take; it is held until complete. A DATA frame's payload never is, so it may have any length. */
export const maxControlFrameBytes = 64 << 10;
const maxSettings = 32;
/** SETTINGS_INITIAL_WINDOW_SIZE, without flags. */
const initialWindowSetting = 7;

const frameHeaderBytes = 8;
const spdyVersion = 3;
const streamIdMask = 0x7fffffff;
const flagFin = 0x01;
const flagUnidirectional = 0x02;

const controlType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** Turns bytes, however they are cut, into frames. Throws SpdyError; it is of no use after that. */
export class FrameDecoder {
  /** Bytes of an unfinished frame header or control payload. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = frameHeaderBytes;
  #header: Buffer | undefined;
  /** The DATA frame whose payload is passing through. */
  #data: { streamId: number; remaining: number; fin: boolean } | undefined;

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#data !== undefined) {
        const data = this.#data;
        const bytes = rest.subarray(0, data.remaining);
        rest = rest.subarray(bytes.length);
        data.remaining -= bytes.length;
        const last = data.remaining === 0;
        if (last) this.#data = undefined;
        frames.push({ type: "data", streamId: data.streamId, bytes, fin: last && data.fin });
        continue;
      }
      const wanted = this.#neededBytes - this.#heldBytes;
      const piece = rest.subarray(0, wanted);
      rest = rest.subarray(piece.length);
      if (piece.length < wanted) {
        this.#held.push(Buffer.from(piece));
        this.#heldBytes += piece.length;
        break;
      }
      const whole = this.#heldBytes === 0 ? piece : Buffer.concat([...this.#held, piece]);
      this.#held = [];
      this.#heldBytes = 0;
      const frame = this.#header === undefined ? this.#onHeader(whole) : this.#onPayload(whole);
      if (frame !== undefined) frames.push(frame);
    }
    return frames;
  }

  #onHeader(header: Buffer): Frame | undefined {
    const length = header.readUIntBE(5, 3);
    if ((header.readUInt8(0) & 0x80) === 0) return this.#startData(header, length);
    const version = header.readUInt16BE(0) & 0x7fff;
    if (version !== spdyVersion) throw new SpdyError(`SPDY version ${version} is not spoken here`);
    if (length > maxControlFrameBytes) {
      throw new SpdyError(`control frame of ${length} bytes is over ${maxControlFrameBytes}`);
    }
    if (length === 0) return decodeControl(header, Buffer.alloc(0));
    // A copy: the chunk it points into may be large and the payload long in coming.
    this.#header = Buffer.from(header);
    this.#neededBytes = length;
    return undefined;
  }

  #startData(header: Buffer, length: number): Frame | undefined {
    const streamId = header.readUInt32BE(0);
    if (streamId === 0) throw new SpdyError("data frame for stream 0");
    const fin = (header.readUInt8(4) & flagFin) !== 0;
    if (length === 0) return { type: "data", streamId, bytes: Buffer.alloc(0), fin };
    this.#data = { streamId, remaining: length, fin };
    return undefined;
  }

  #onPayload(payload: Buffer): Frame {
    const header = this.#header ?? Buffer.alloc(frameHeaderBytes);
    this.#header = undefined;
    this.#neededBytes = frameHeaderBytes;
    return decodeControl(header, payload);
  }
}

function decodeControl(header: Buffer, payload: Buffer): Frame {
  const control = header.readUInt16BE(2);
  const flags = header.readUInt8(4);
  const fin = (flags & flagFin) !== 0;
  switch (control) {
    case controlType.synStream: {
      needAtLeast(payload, 10, "SYN_STREAM");
      const unidirectional = (flags & flagUnidirectional) !== 0;
      const block = payload.subarray(10);
      return { type: "synStream", streamId: streamIdAt(payload), block, fin, unidirectional };
    }
    case controlType.synReply:
      needAtLeast(payload, 4, "SYN_REPLY");
      return { type: "synReply", streamId: streamIdAt(payload), block: payload.subarray(4), fin };
    case controlType.headers:
      needAtLeast(payload, 4, "HEADERS");
      return { type: "headers", streamId: streamIdAt(payload), block: payload.subarray(4), fin };
    case controlType.rstStream:
      needExactly(payload, 8, "RST_STREAM");
      return {
        type: "rstStream",
        streamId: streamIdAt(payload),
        status: payload.readUInt32BE(4),
      };
    case controlType.settings:
      return decodeSettings(payload);
    case controlType.ping:
      needExactly(payload, 4, "PING");
      return { type: "ping", id: payload.readUInt32BE(0) };
    case controlType.goAway:
      needExactly(payload, 8, "GOAWAY");
      return {
        type: "goAway",
        lastStreamId: streamIdAt(payload),
        status: payload.readUInt32BE(4),
      };
    case controlType.windowUpdate:
      needExactly(payload, 8, "WINDOW_UPDATE");
      return {
        type: "windowUpdate",
        streamId: streamIdAt(payload),
        delta: payload.readUInt32BE(4) & streamIdMask,
      };
    default:
      return { type: "unknown", control };
  }
}

/** Only counted: none of the settings matters to a peer that keeps no windows. */
function decodeSettings(payload: Buffer): Frame {
  needAtLeast(payload, 4, "SETTINGS");
  const count = payload.readUInt32BE(0);
  if (count > maxSettings) throw new SpdyError(`SETTINGS with ${count} entries`);
  needExactly(payload, 4 + 8 * count, "SETTINGS");
  return { type: "settings", count };
}

function streamIdAt(payload: Buffer): number {
  return payload.readUInt32BE(0) & streamIdMask;
}

function needAtLeast(payload: Buffer, bytes: number, name: string): void {
  if (payload.length < bytes) throw new SpdyError(`${name} frame of ${payload.length} bytes`);
}

function needExactly(payload: Buffer, bytes: number, name: string): void {
  if (payload.length !== bytes) throw new SpdyError(`${name} frame of ${payload.length} bytes`);
}

/** The 8 bytes before a DATA payload of `length` bytes. */
export function dataHeader(streamId: number, length: number, fin: boolean): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt32BE(length, 4);
  header.writeUInt8(fin ? flagFin : 0, 4);
  return header;
}

/** DATA frames with the bytes of all parts in order, as few as they fit in; nothing is copied. */
export function dataFrames(streamId: number, parts: readonly Buffer[]): Buffer[] {
  const out: Buffer[] = [];
  for (const pieces of sendChunks(parts)) {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    out.push(dataHeader(streamId, length, false), ...pieces);
  }
  return out;
}

function control(type: number, flags: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  frame.writeUInt16BE(0x8000 | spdyVersion, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt32BE(payload.length, 4);
  frame.writeUInt8(flags, 4);
  payload.copy(frame, frameHeaderBytes);
  return frame;
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.allocUnsafe(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32BE(value, 4 * index));
  return bytes;
}

export function encodeSynStream(streamId: number, block: Buffer, fin = false): Buffer {
  const head = Buffer.concat([words(streamId, 0), Buffer.from([0, 0]), block]);
  return control(controlType.synStream, fin ? flagFin : 0, head);
}

export function encodeSynReply(streamId: number, block: Buffer): Buffer {
  return control(controlType.synReply, 0, Buffer.concat([words(streamId), block]));
}

export function encodeRstStream(streamId: number, status: number): Buffer {
  return control(controlType.rstStream, 0, words(streamId, status));
}

export function encodeSettings(): Buffer {
  return control(controlType.settings, 0, words(0));
}

/** How much the peer may send on each new stream before it needs a WINDOW_UPDATE. */
export function encodeInitialWindow(bytes: number): Buffer {
  return control(controlType.settings, 0, words(1, initialWindowSetting, bytes));
}

export function encodePing(id: number): Buffer {
  return control(controlType.ping, 0, words(id));
}

export function encodeGoAway(lastStreamId: number, status: number): Buffer {
  return control(controlType.goAway, 0, words(lastStreamId, status));
}

export function encodeWindowUpdate(streamId: number, delta: number): Buffer {
  return control(controlType.windowUpdate, 0, words(streamId, delta));
}
