import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { errorText } from "../errors.ts";
import {
  ConfigureRequestSchema,
  ConfigureResponseSchema,
  EmptySchema,
  RegisterPluginRequestSchema,
  StateChangeEventSchema,
  SynchronizeRequestSchema,
  SynchronizeResponseSchema,
  UpdateContainersRequestSchema,
  UpdateContainersResponseSchema,
  type Container,
  type Event,
  type PodSandbox,
  type SynchronizeResponse,
} from "../gen/nri/v1alpha1/api_pb.js";
import { Connection } from "./connection.ts";
import { ALL_EVENTS, type EventType } from "./events.ts";
import type { PluginOptions } from "./plugin-options.ts";
import { synchronizeMessages } from "./synchronize.ts";
import { Code, NoAnswer, TtrpcError } from "./ttrpc.ts";
import { valueWithin } from "../sys/abort.ts";

/** The newest version whose every field is handled. */
export const NRI_VERSION = "v0.12.5";

const NAME = /^[A-Za-z0-9_.+-]{1,128}$/;
const INDEX = /^[0-9]{2}$/;
const shutdownMs = 1_000;

/** One plugin's connection: registers, configures and synchronizes it, and asks it about events. */
export class Plugin {
  readonly #options: PluginOptions;
  readonly #connection: Connection;
  readonly #registered: { promise: Promise<void>; resolve(): void; reject(error: Error): void };
  #index: string;
  #name: string;
  #nriVersion = "";
  #events = 0;
  #policy = { failRequest: false, keepConnected: false };
  #joined = false;
  /** It has no methods of its own for the events of StateChange. */
  #old = false;
  lastError = "";

  constructor(options: PluginOptions) {
    this.#options = options;
    let settle: { resolve(): void; reject(error: Error): void } | undefined;
    const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
    this.#registered = {
      promise,
      resolve: () => settle?.resolve(),
      reject: (error) => settle?.reject(error),
    };
    this.#index = options.launched?.index ?? "";
    this.#name = options.launched?.name ?? "";
    this.#registered.promise.catch(() => undefined);
    this.#connection = new Connection(
      options.stream,
      options.clock,
      {
        RegisterPlugin: (payload) => this.#register(payload),
        UpdateContainers: (payload) => this.#update(payload),
      },
      (reason) => {
        this.#registered.reject(new NoAnswer(false, reason));
        options.onClose(reason);
      },
    );
  }

  /** `10-balloons`; "" before it has registered. */
  get fullName(): string {
    return this.#index === "" ? this.#name : `${this.#index}-${this.#name}`;
  }

  get index(): string {
    return this.#index;
  }

  get name(): string {
    return this.#name;
  }

  get nriVersion(): string {
    return this.#nriVersion;
  }

  get kind(): "pre-installed" | "external" {
    return this.#options.launched === undefined ? "external" : "pre-installed";
  }

  get policy(): { readonly failRequest: boolean; readonly keepConnected: boolean } {
    return this.#policy;
  }

  get events(): number {
    return this.#events;
  }

  /** Why the connection has ended; undefined while it is there. */
  get closedBecause(): string | undefined {
    return this.#connection.closedBecause;
  }

  /** @throws NoAnswer when the connection has ended */
  requireConnected(): void {
    if (this.closedBecause !== undefined) throw new NoAnswer(false, this.closedBecause);
  }

  subscribes(event: Event): boolean {
    return (this.#events & (1 << (event - 1))) !== 0;
  }

  /**
   * Registers and configures it.
   *
   * @throws NoAnswer or TtrpcError; the connection is closed then
   */
  async begin(): Promise<void> {
    const { clock, timeouts } = this.#options;
    try {
      const { registrationMs } = timeouts;
      const registered = this.#registered.promise.then(() => true);
      if (!(await valueWithin(registered, registrationMs, clock, false))) {
        throw new NoAnswer(true, `not registered within ${registrationMs} ms`);
      }
      await this.#configure();
    } catch (error) {
      this.close(errorText(error));
      throw error;
    }
  }

  async #configure(): Promise<void> {
    const { timeouts, runtimeVersion, launched } = this.#options;
    const answer = await this.#call("Configure", ConfigureRequestSchema, ConfigureResponseSchema, {
      config: launched?.config ?? "",
      runtimeName: "dockline",
      runtimeVersion,
      registrationTimeout: BigInt(timeouts.registrationMs),
      requestTimeout: BigInt(timeouts.requestMs),
      NRIVersion: NRI_VERSION,
    });
    const { events } = answer;
    if ((events & ~ALL_EVENTS) !== 0) {
      throw new TtrpcError(
        Code.invalidArgument,
        `events 0x${(events >>> 0).toString(16)} are not all known to NRI ${NRI_VERSION}`,
      );
    }
    this.#events = events === 0 ? ALL_EVENTS : events;
    this.#policy = {
      failRequest: answer.failurePolicy?.failRequest ?? false,
      keepConnected: answer.failurePolicy?.keepConnected ?? false,
    };
  }

  /**
   * Tells it all that exists, and from then on events.
   *
   * @returns what it wants changed at existing containers
   * @throws NoAnswer or TtrpcError; the connection is closed then
   */
  async synchronize(
    pods: readonly PodSandbox[],
    containers: readonly Container[],
  ): Promise<SynchronizeResponse> {
    const { clock, timeouts } = this.#options;
    // The request timeout alone is too short for what policies do with a full node.
    const endMs = clock.monotonicMs() + Math.max(timeouts.registrationMs, timeouts.requestMs);
    try {
      let last = create(SynchronizeResponseSchema);
      for (const message of synchronizeMessages(pods, containers)) {
        const leftMs = Math.max(1, endMs - clock.monotonicMs());
        last = await this.#call(
          "Synchronize",
          SynchronizeRequestSchema,
          SynchronizeResponseSchema,
          message,
          leftMs,
        );
        if (message.more && (!last.more || last.update.length > 0)) {
          throw new TtrpcError(Code.failedPrecondition, "it cannot be synchronized in pieces");
        }
      }
      this.#joined = true;
      return last;
    } catch (error) {
      this.close(errorText(error));
      throw error;
    }
  }

  /**
   * One event.
   *
   * @throws TtrpcError for an answer that is an error, NoAnswer where none came
   */
  async ask<Request extends DescMessage, Response extends DescMessage | undefined>(
    type: EventType<Request, Response>,
    request: MessageShape<Request>,
  ): Promise<Response extends DescMessage ? MessageShape<Response> : undefined> {
    const response: DescMessage = type.response ?? EmptySchema;
    const asked = request as { pod?: PodSandbox; container?: Container };
    const answer = async (): Promise<unknown> => {
      if (type.stateChange && this.#old) return await this.#stateChange(type.event, asked);
      try {
        const { requestMs } = this.#options.timeouts;
        const payload = toBinary(type.request, request);
        return await this.#connection.send(type.method, payload, response, requestMs);
      } catch (error) {
        const isUnknown = error instanceof TtrpcError && error.code === Code.unimplemented;
        if (!type.stateChange || !isUnknown) throw error;
        const told = await this.#stateChange(type.event, asked);
        this.#old = true;
        return told;
      }
    };
    const given = await answer();
    return (type.response === undefined ? undefined : given) as Response extends DescMessage
      ? MessageShape<Response>
      : undefined;
  }

  async #stateChange(
    event: Event,
    { pod, container }: { pod?: PodSandbox; container?: Container },
  ): Promise<unknown> {
    return await this.#call("StateChange", StateChangeEventSchema, EmptySchema, {
      event,
      ...(pod === undefined ? {} : { pod }),
      ...(container === undefined ? {} : { container }),
    });
  }

  /** Says that the runtime ends, then closes. */
  async shutdown(): Promise<void> {
    if (this.#joined && this.closedBecause === undefined) {
      await this.#call("Shutdown", EmptySchema, EmptySchema, {}, shutdownMs).catch(() => undefined);
    }
    this.close("Dockline stops");
  }

  close(reason: string): void {
    if (this.closedBecause === undefined) this.lastError = reason;
    this.#connection.close(reason);
  }

  async #call<Request extends DescMessage, Response extends DescMessage>(
    method: string,
    request: Request,
    response: Response,
    message: MessageInitShape<Request>,
    timeoutMs = this.#options.timeouts.requestMs,
  ): Promise<MessageShape<Response>> {
    return await this.#connection.call(method, request, response, message, timeoutMs);
  }

  #register(payload: Uint8Array): Promise<Uint8Array> {
    const request = fromBinary(RegisterPluginRequestSchema, payload);
    const known = this.#options.launched;
    if (known === undefined) {
      if (!NAME.test(request.pluginName) || !INDEX.test(request.pluginIdx)) {
        const error = new TtrpcError(
          Code.unknown,
          "a plugin's name has letters, digits and _.+- and its index two digits",
        );
        // The answer goes out first.
        setImmediate(() => this.close(error.message));
        return Promise.reject(error);
      }
      this.#name = request.pluginName;
      this.#index = request.pluginIdx;
    }
    this.#nriVersion = request.NRIVersion.slice(0, 64);
    // What follows is sent behind this answer.
    setImmediate(() => this.#registered.resolve());
    return Promise.resolve(toBinary(EmptySchema, create(EmptySchema)));
  }

  async #update(payload: Uint8Array): Promise<Uint8Array> {
    if (!this.#joined) {
      throw new TtrpcError(Code.failedPrecondition, "the plugin is not synchronized yet");
    }
    await this.#options.onUpdate(fromBinary(UpdateContainersRequestSchema, payload));
    return toBinary(UpdateContainersResponseSchema, create(UpdateContainersResponseSchema));
  }
}
