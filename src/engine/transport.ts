import { Agent } from "node:http";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import Docker from "dockerode";
import type { Logger } from "../log.ts";
import { Semaphore } from "../sys/mutex.ts";
import { isVersionRefusal } from "./api-version.ts";
import { CallLife } from "./call-life.ts";
import { laneLimits } from "./call.ts";
import type { EngineCall, Lane, RequestInfo } from "./call.ts";
import { checkSocketOwner } from "./endpoint.ts";
import { EngineError } from "./errors.ts";
import { errorBodyText, maxErrorBodyBytes } from "./error-text.ts";
import { inTheNameOf, protocolError, toEngineError } from "./failures.ts";
import { ConnectionFault, exchangeWhenAccepted, readText } from "./exchange.ts";
import type { WireAnswer } from "./exchange.ts";
import { toWire } from "./modem-options.ts";
import type { DialOptions, PreparedRequest } from "./modem-options.ts";
import { beginRecord } from "./request-record.ts";
import { Versioning } from "./versioning.ts";

export interface TransportOptions {
  socketPath: string;
  log: Logger;
  onRequest?: ((info: RequestInfo) => void) | undefined;
  onAnswer?: (() => void) | undefined;
  /** Requests at the engine at once in each lane that has a limit. Default: laneLimits. */
  inFlight?: number;
}

const pingTimeoutMs = 5_000;
/** One late ping is an engine that is busy; after this many it hangs. */
const pingsUntilSilent = 2;
/** Longest wait for a place in a lane; a request with a shorter budget waits no longer than that. */
const longestQueueMs = 60_000;
/** Far above a list of 10 000 containers; a body without end must not take the memory. */
const maxBodyBytes = 128 << 20;

type DialCallback = (error: Error | null, data?: unknown) => void;

/**
 * The HTTP side of the engine: dockerode's `modem` with deadlines, lanes, version negotiation and
 * errors that always settle. The stock one can wait forever on a body that breaks off, prints every
 * request through util.inspect, and takes its target from DOCKER_* variables.
 */
export class Transport {
  readonly #options: TransportOptions;
  readonly #agent: Agent;
  readonly #caps: Partial<Record<Lane, Semaphore>>;
  readonly #versioning: Versioning;
  readonly #closed = new AbortController();
  /** Pings in a row that had no answer in their time, with no other answer meanwhile. */
  #unanswered = 0;
  #answers = 0;

  constructor(options: TransportOptions) {
    const lanes = Object.keys(laneLimits) as (keyof typeof laneLimits)[];
    const limits = lanes.map((lane) => [lane, options.inFlight ?? laneLimits[lane]] as const);
    this.#options = options;
    // The caps bound the sockets; a second queue inside the agent would mix the lanes up.
    const maxSockets = limits.reduce((sum, [, limit]) => sum + limit, 1);
    this.#agent = new Agent({ keepAlive: true, maxSockets, maxFreeSockets: 16 });
    this.#caps = Object.fromEntries(
      limits.map(([lane, limit]) => [lane, new Semaphore(limit, "place at the engine")] as const),
    );
    this.#versioning = new Versioning(() => this.#ping({ signal: undefined }));
  }

  get versioning(): Versioning {
    return this.#versioning;
  }

  /** dockerode bound to one call: whatever it dials goes out under the call's lane and deadline. */
  docker(call: EngineCall): Docker {
    const modem = {
      dial: (options: DialOptions, callback: DialCallback): void => {
        this.send(call, toWire(options, call)).then(
          (data) => callback(null, data),
          (error: unknown) => callback(error as Error),
        );
      },
    };
    return new Docker({ modem } as unknown as Docker.DockerOptions);
  }

  /** Pings on its own and settles the API version with the answer. */
  async ping(options: { signal?: AbortSignal | undefined; timeoutMs?: number }): Promise<void> {
    this.#versioning.settle(await this.#ping(options));
  }

  /** The engine said something on a stream that it answered long ago: it is not silent. */
  heard(): void {
    this.#answers += 1;
    this.#unanswered = 0;
  }

  close(): void {
    this.#closed.abort();
    this.#agent.destroy();
  }

  /** Resolves with parsed JSON, a response stream or a hijacked socket, as the request asks. */
  async send(call: EngineCall, prepared: PreparedRequest): Promise<unknown> {
    if (this.#unanswered >= pingsUntilSilent) {
      // Requests would only pile up at it, each until its own deadline; the next ping will tell.
      const message = `${call.operation}: docker does not answer its ping`;
      throw new EngineError({ failure: "unreachable", operation: call.operation, message });
    }
    const life = new CallLife(call, this.#closed.signal);
    let streaming = false;
    try {
      const leave = await this.#enter(call, life);
      try {
        const result = await this.#withRetry(call, prepared, life);
        if (isStream(result)) {
          streaming = true;
          life.dropDeadline();
          result.once("close", () => life.end());
          if (result.closed) life.end();
        }
        return result;
      } finally {
        leave?.();
      }
    } catch (error) {
      throw toEngineError(error, call.operation);
    } finally {
      if (!streaming) life.end();
    }
  }

  async #enter(call: EngineCall, life: CallLife): Promise<(() => void) | undefined> {
    const cap = this.#caps[call.lane];
    if (cap === undefined) return undefined;
    const limitMs = Math.min(call.timeoutMs ?? longestQueueMs, longestQueueMs);
    return await life.inQueue(limitMs, () => cap.enter(life.signal));
  }

  async #withRetry(call: EngineCall, prepared: PreparedRequest, life: CallLife): Promise<unknown> {
    for (let again = false; ; again = true) {
      const [major, minor] = await this.#versioning
        .current(life.signal)
        .catch((error: unknown) => Promise.reject(inTheNameOf(call.operation, error)));
      const path = `/v${major}.${minor}${prepared.path}`;
      life.sending();
      try {
        return await this.#once(call, { ...prepared, path }, life.signal);
      } catch (error) {
        if (again || !this.#mayRepeat(prepared, error)) throw error;
      }
    }
  }

  /** True where the engine cannot have acted on the request, or acting twice is the same. */
  #mayRepeat(prepared: PreparedRequest, error: unknown): boolean {
    if (isVersionRefusal(error)) {
      this.#versioning.forget();
      return typeof prepared.body !== "object";
    }
    return (
      error instanceof ConnectionFault &&
      error.reused &&
      (prepared.method === "GET" || prepared.method === "HEAD")
    );
  }

  async #ping(options: {
    signal?: AbortSignal | undefined;
    timeoutMs?: number;
  }): Promise<string | undefined> {
    const operation = "ping";
    const timeoutMs = options.timeoutMs ?? pingTimeoutMs;
    const call: EngineCall = { operation, lane: "probe", timeoutMs, signal: options.signal };
    const life = new CallLife(call, this.#closed.signal);
    const answers = this.#answers;
    try {
      life.sending();
      await checkSocketOwner(this.#options.socketPath, operation);
      let offered: string | undefined;
      await this.#once(
        { ...call, parse: () => undefined },
        { method: "GET", path: "/_ping", headers: {}, body: undefined, answer: "json" },
        life.signal,
        (response) => {
          const header = response.headers["api-version"];
          offered = typeof header === "string" ? header : undefined;
        },
      );
      return offered;
    } catch (error) {
      // A ping without answer is the engine's absence, unlike a slow request about one object.
      const failure = toEngineError(error, operation);
      if (failure.failure === "timeout" && this.#answers === answers) {
        this.#unanswered += 1;
      }
      throw failure;
    } finally {
      life.end();
    }
  }

  /** One request on the wire: counted, traced, its errors put into words. */
  async #once(
    call: EngineCall,
    prepared: PreparedRequest,
    signal: AbortSignal,
    onHeaders?: (response: IncomingMessage) => void,
  ): Promise<unknown> {
    const { record, traceHeaders } = beginRecord(prepared, this.#options);
    let answer: WireAnswer | undefined;
    try {
      answer = await exchangeWhenAccepted(
        {
          ...prepared,
          socketPath: this.#options.socketPath,
          headers: { ...prepared.headers, ...traceHeaders },
          agent: this.#caps[call.lane] === undefined ? undefined : this.#agent,
          hijack: prepared.answer === "hijack",
        },
        signal,
      );
      this.heard();
      if (call.lane !== "probe") this.#options.onAnswer?.();
      const version = answer.response.headers["api-version"];
      this.#versioning.observe(typeof version === "string" ? version : undefined);
      onHeaders?.(answer.response);
      const result = await this.#read(call, prepared, answer);
      const status = answer.response.statusCode ?? 0;
      if (call.recordBody === true && isStream(result) && !result.closed) {
        result.once("close", () => record(status, result.errored ?? undefined));
      } else record(status);
      return result;
    } catch (error) {
      const failure = toEngineError(error, call.operation);
      if (failure.failure === "unreachable") {
        this.#unanswered = 0;
        this.#versioning.forget();
      }
      record(answer?.response.statusCode ?? 0, failure);
      throw error instanceof ConnectionFault ? error : failure;
    }
  }

  async #read(call: EngineCall, prepared: PreparedRequest, answer: WireAnswer): Promise<unknown> {
    const { operation } = call;
    const { response } = answer;
    const status = response.statusCode ?? 0;
    if (answer.kind === "hijacked") {
      if (prepared.answer === "hijack") return answer.socket;
      answer.socket.destroy();
      throw protocolError(operation, "the engine changed the protocol unasked");
    }
    if (status < 200 || status > 299) {
      const body = await readText(response, maxErrorBodyBytes);
      const contentType = response.headers["content-type"] ?? "";
      const statusText = `HTTP ${status} ${response.statusMessage ?? ""}`.trim();
      const message = `${operation}: ${errorBodyText(body, contentType, statusText)}`;
      throw new EngineError({ failure: "status", status, operation, message });
    }
    if (prepared.answer === "hijack") {
      response.destroy();
      throw protocolError(operation, `HTTP ${status} where a raw connection was asked for`);
    }
    if (prepared.answer === "stream") return response;
    const text = await readText(response, maxBodyBytes, () =>
      protocolError(operation, `an answer of more than ${maxBodyBytes} bytes`),
    );
    if (text === "") return undefined;
    try {
      return (call.parse ?? JSON.parse)(text) as unknown;
    } catch (cause) {
      throw protocolError(operation, "the answer is not JSON", cause);
    }
  }
}

function isStream(value: unknown): value is Duplex | IncomingMessage {
  return typeof value === "object" && value !== null && "destroy" in value && "once" in value;
}
