import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  RequestSchema,
  ResponseSchema,
  type Request,
  type Response,
} from "../gen/nri/ttrpc/ttrpc_pb.js";

/** Bytes of a message's data. */
export const MAX_MESSAGE = 4 * 1024 * 1024;
const HEADER = 10;

/** Types of messages; NRI uses no others. */
export const REQUEST = 1;
export const RESPONSE = 2;

/** google.rpc.Code, as far as it is needed. */
export const Code = {
  unknown: 2,
  invalidArgument: 3,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
} as const;

/** An answer that is an error. */
export class TtrpcError extends Error {
  override readonly name = "TtrpcError";
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** No answer came: the time is over, or the connection. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  readonly late: boolean;
  constructor(late: boolean, message: string) {
    super(message);
    this.late = late;
  }
}

export interface Message {
  readonly stream: number;
  readonly type: number;
  /** Undefined for one over the limit, whose bytes were thrown away. */
  readonly data: Uint8Array | undefined;
}

/** Cuts messages out of the bytes of one logical connection. */
export class MessageReader {
  readonly #onMessage: (message: Message) => void;
  readonly #header = new Uint8Array(HEADER);
  #headerLength = 0;
  #data: Uint8Array | undefined;
  #dataLength = 0;
  #filled = 0;

  constructor(onMessage: (message: Message) => void) {
    this.#onMessage = onMessage;
  }

  read(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#headerLength < HEADER) {
        const taken = bytes.subarray(at, at + HEADER - this.#headerLength);
        this.#header.set(taken, this.#headerLength);
        this.#headerLength += taken.length;
        at += taken.length;
        if (this.#headerLength < HEADER) return;
        this.#dataLength = new DataView(this.#header.buffer).getUint32(0);
        this.#filled = 0;
        this.#data = this.#dataLength > MAX_MESSAGE ? undefined : new Uint8Array(this.#dataLength);
      }
      const taken = bytes.subarray(at, at + this.#dataLength - this.#filled);
      this.#data?.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === this.#dataLength) this.#end();
    }
  }

  #end(): void {
    const data = this.#data;
    this.#headerLength = 0;
    this.#data = undefined;
    const view = new DataView(this.#header.buffer);
    this.#onMessage({ stream: view.getUint32(4), type: view.getUint8(8), data });
  }
}

/** @throws TtrpcError RESOURCE_EXHAUSTED for data over the limit, as every sender of ttrpc does */
export function encodeMessage(stream: number, type: number, data: Uint8Array): Uint8Array {
  if (data.length > MAX_MESSAGE) {
    throw new TtrpcError(
      Code.resourceExhausted,
      `message of ${data.length} bytes, at most ${MAX_MESSAGE} can be sent`,
    );
  }
  const message = new Uint8Array(HEADER + data.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, data.length);
  view.setUint32(4, stream);
  view.setUint8(8, type);
  message.set(data, HEADER);
  return message;
}

export function encodeRequest(
  service: string,
  method: string,
  payload: Uint8Array,
  timeoutMs: number,
): Uint8Array {
  const timeoutNano = BigInt(Math.round(timeoutMs * 1e6));
  return toBinary(RequestSchema, create(RequestSchema, { service, method, payload, timeoutNano }));
}

export function encodeResponse(payload: Uint8Array): Uint8Array {
  return toBinary(ResponseSchema, create(ResponseSchema, { payload }));
}

export function encodeError(code: number, message: string): Uint8Array {
  return toBinary(ResponseSchema, create(ResponseSchema, { status: { code, message } }));
}

export const decodeRequest = (data: Uint8Array): Request => fromBinary(RequestSchema, data);
export const decodeResponse = (data: Uint8Array): Response => fromBinary(ResponseSchema, data);
