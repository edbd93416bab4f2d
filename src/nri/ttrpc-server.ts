import { errorText } from "../errors.ts";
import {
  Code,
  decodeRequest,
  encodeError,
  encodeMessage,
  encodeResponse,
  MAX_MESSAGE,
  MessageReader,
  REQUEST,
  RESPONSE,
  TtrpcError,
  type Message,
} from "./ttrpc.ts";

/** Requests of one peer that are worked on at once. */
const MAX_IN_FLIGHT = 4;

/** Gives the encoded answer; a TtrpcError has its code sent, anything else is UNKNOWN with its text. */
export type Handler = (payload: Uint8Array) => Promise<Uint8Array>;

/** Answers one peer's calls on one logical connection; methods by "service/method". */
export class TtrpcServer {
  readonly #send: (message: Uint8Array) => void;
  readonly #methods: ReadonlyMap<string, Handler>;
  readonly #reader = new MessageReader((message) => this.#received(message));
  #lastStream = 0;
  #inFlight = 0;

  constructor(send: (message: Uint8Array) => void, methods: Readonly<Record<string, Handler>>) {
    this.#send = send;
    this.#methods = new Map(Object.entries(methods));
  }

  read(bytes: Uint8Array): void {
    this.#reader.read(bytes);
  }

  #received({ stream, type, data }: Message): void {
    if (type !== REQUEST) return;
    if (stream % 2 !== 1 || stream <= this.#lastStream) {
      this.#fail(stream, Code.invalidArgument, `stream id ${stream} is even or was used before`);
      return;
    }
    this.#lastStream = stream;
    if (data === undefined) {
      this.#fail(stream, Code.resourceExhausted, `request of more than ${MAX_MESSAGE} bytes`);
    } else if (this.#inFlight >= MAX_IN_FLIGHT) {
      this.#fail(stream, Code.resourceExhausted, `${MAX_IN_FLIGHT} requests are under way already`);
    } else void this.#answer(stream, data);
  }

  async #answer(stream: number, data: Uint8Array): Promise<void> {
    this.#inFlight += 1;
    try {
      const { service, method, payload } = decodeRequest(data);
      const handler = this.#methods.get(`${service}/${method}`);
      if (handler === undefined) {
        throw new TtrpcError(Code.unimplemented, `no method ${service}/${method}`.slice(0, 300));
      }
      this.#send(encodeMessage(stream, RESPONSE, encodeResponse(await handler(payload))));
    } catch (error) {
      const code = error instanceof TtrpcError ? error.code : Code.unknown;
      this.#fail(stream, code, errorText(error));
    } finally {
      this.#inFlight -= 1;
    }
  }

  #fail(stream: number, code: number, message: string): void {
    this.#send(encodeMessage(stream, RESPONSE, encodeError(code, message)));
  }
}
