import { errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";
import {
  decodeResponse,
  encodeMessage,
  encodeRequest,
  MAX_MESSAGE,
  MessageReader,
  NoAnswer,
  REQUEST,
  RESPONSE,
  TtrpcError,
  Code,
  type Message,
} from "./ttrpc.ts";
import { valueWithin } from "../sys/abort.ts";

interface Waiting {
  resolve(payload: Uint8Array): void;
  reject(error: Error): void;
}

/** Calls of one service on one logical connection. */
export class TtrpcClient {
  readonly #send: (message: Uint8Array) => void;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  readonly #reader = new MessageReader((message) => this.#answered(message));
  #nextStream = 1;
  #closed: string | undefined;

  constructor(send: (message: Uint8Array) => void, clock: Clock) {
    this.#send = send;
    this.#clock = clock;
  }

  /**
   * @throws TtrpcError when the answer is an error, or the request is over the limit
   * @throws NoAnswer when none comes within the time, or the connection ends
   */
  async call(
    service: string,
    method: string,
    payload: Uint8Array,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    if (this.#closed !== undefined) throw new NoAnswer(false, this.#closed);
    const stream = this.#nextStream;
    const message = encodeMessage(
      stream,
      REQUEST,
      encodeRequest(service, method, payload, timeoutMs),
    );
    this.#nextStream += 2;
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      this.#waiting.set(stream, { resolve, reject });
    });
    this.#send(message);
    try {
      const given = await valueWithin<Uint8Array | undefined>(
        answer,
        timeoutMs,
        this.#clock,
        undefined,
      );
      if (given === undefined) throw new NoAnswer(true, `no answer within ${timeoutMs} ms`);
      return given;
    } finally {
      this.#waiting.delete(stream);
    }
  }

  read(bytes: Uint8Array): void {
    this.#reader.read(bytes);
  }

  /** The connection has ended: whoever waits is answered. */
  close(reason: string): void {
    this.#closed ??= reason;
    for (const waiting of this.#waiting.values()) waiting.reject(new NoAnswer(false, reason));
  }

  /** What nobody waits for any more is dropped, and so is what is no answer. */
  #answered({ stream, type, data }: Message): void {
    const waiting = this.#waiting.get(stream);
    if (type !== RESPONSE || waiting === undefined) return;
    if (data === undefined) {
      waiting.reject(
        new TtrpcError(Code.resourceExhausted, `answer of more than ${MAX_MESSAGE} bytes`),
      );
      return;
    }
    try {
      const { status, payload } = decodeResponse(data);
      if (status === undefined || status.code === 0) waiting.resolve(payload);
      else waiting.reject(new TtrpcError(status.code, oneLine(status.message)));
    } catch (error) {
      waiting.reject(new NoAnswer(false, `answer cannot be read: ${errorText(error)}`));
    }
  }
}

/** What a plugin says ends up in logs and in answers to the kubelet. */
function oneLine(text: string): string {
  return errorText(text).slice(0, 300);
}
