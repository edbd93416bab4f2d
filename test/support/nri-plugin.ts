import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { createConnection } from "node:net";
import type { Socket } from "node:net";
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
  type ConfigureRequest,
  type Container,
  type CreateContainerResponseSchema,
  type PodSandbox,
  type UpdateContainersResponse,
} from "../../src/gen/nri/v1alpha1/api_pb.js";
import { events } from "../../src/nri/events.ts";
import { Mux, PLUGIN_CONNECTION, RUNTIME_CONNECTION } from "../../src/nri/mux.ts";
import { TtrpcClient } from "../../src/nri/ttrpc-client.ts";
import { TtrpcServer, type Handler } from "../../src/nri/ttrpc-server.ts";
import { Code, TtrpcError } from "../../src/nri/ttrpc.ts";
import { systemClock } from "../../src/sys/clock.ts";

export interface Heard {
  readonly event: string;
  readonly pod?: PodSandbox | undefined;
  readonly container?: Container | undefined;
  readonly atMs: number;
}

export interface TestPluginOptions {
  /** A path, or what is open already. */
  readonly socket: string | Socket;
  readonly name?: string;
  readonly index?: string;
  /** Bits of Configure; all without. */
  readonly events?: number;
  readonly failurePolicy?: { failRequest?: boolean; keepConnected?: boolean };
  /** Before it answers; what it throws is the answer. */
  onEvent?(heard: Heard): Promise<void> | void;
  create?(heard: Heard): MessageInitShape<typeof CreateContainerResponseSchema>;
  onSynchronize?(): Promise<void>;
  /** Knows StateChange alone, as plugins before v0.12 do. */
  readonly old?: boolean;
}

const PLUGIN = "nri.pkg.api.v1alpha1.Plugin";
const RUNTIME = "nri.pkg.api.v1alpha1.Runtime";

/** An NRI plugin on the other side of Dockline's own multiplexer. */
export class TestPlugin {
  readonly heard: Heard[] = [];
  readonly pods: string[] = [];
  readonly containers: Container[] = [];
  configured: ConfigureRequest | undefined;
  /** Resolves when it is synchronized. */
  readonly ready: Promise<void>;
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;
  readonly socket: Socket;
  readonly #mux: Mux;
  readonly #client: TtrpcClient;
  readonly #options: TestPluginOptions;
  #isReady: () => void = () => undefined;

  constructor(options: TestPluginOptions) {
    this.#options = options;
    const { socket } = options;
    this.socket = typeof socket === "string" ? createConnection(socket) : socket;
    this.ready = new Promise((resolve) => (this.#isReady = resolve));
    let end: () => void = () => undefined;
    this.ended = new Promise((resolve) => (end = resolve));
    this.#client = new TtrpcClient(
      (message) => this.#mux.send(RUNTIME_CONNECTION, message),
      systemClock,
    );
    const server = new TtrpcServer(
      (message) => this.#mux.send(PLUGIN_CONNECTION, message),
      this.#methods(),
    );
    this.#mux = new Mux(this.socket, {
      onData: (connection, bytes) => {
        if (connection === PLUGIN_CONNECTION) server.read(bytes);
        else this.#client.read(bytes);
      },
      onClose: (reason) => {
        this.#client.close(reason);
        end();
      },
    });
  }

  async register(): Promise<void> {
    await this.#call("RegisterPlugin", RegisterPluginRequestSchema, EmptySchema, {
      pluginName: this.#options.name ?? "test",
      pluginIdx: this.#options.index ?? "00",
      NRIVersion: "v0.12.5",
    });
  }

  /** Registers, and waits until it is synchronized. */
  async join(): Promise<this> {
    await this.register();
    await this.ready;
    return this;
  }

  async update(
    request: MessageInitShape<typeof UpdateContainersRequestSchema>,
  ): Promise<UpdateContainersResponse> {
    return (await this.#call(
      "UpdateContainers",
      UpdateContainersRequestSchema,
      UpdateContainersResponseSchema,
      request,
    )) as UpdateContainersResponse;
  }

  close(): void {
    this.#mux.close("the test ends");
  }

  of(event: string): Heard[] {
    return this.heard.filter((one) => one.event === event);
  }

  async #call<Request extends DescMessage>(
    method: string,
    request: Request,
    response: DescMessage,
    fields: MessageInitShape<Request>,
  ): Promise<unknown> {
    const payload = toBinary(request, create(request, fields));
    return fromBinary(response, await this.#client.call(RUNTIME, method, payload, 10_000));
  }

  #methods(): Record<string, Handler> {
    const methods: Record<string, Handler> = {
      [`${PLUGIN}/Configure`]: (payload) => {
        this.configured = fromBinary(ConfigureRequestSchema, payload);
        const { events: mask = 0, failurePolicy } = this.#options;
        const answer = create(ConfigureResponseSchema, {
          events: mask,
          ...(failurePolicy === undefined ? {} : { failurePolicy }),
        });
        return Promise.resolve(toBinary(ConfigureResponseSchema, answer));
      },
      [`${PLUGIN}/Synchronize`]: async (payload) => {
        const { pods, containers, more } = fromBinary(SynchronizeRequestSchema, payload);
        this.pods.push(...pods.map(({ id }) => id));
        this.containers.push(...containers);
        await this.#options.onSynchronize?.();
        if (!more) setImmediate(() => this.#isReady());
        return toBinary(SynchronizeResponseSchema, create(SynchronizeResponseSchema, { more }));
      },
      [`${PLUGIN}/Shutdown`]: () => Promise.resolve(new Uint8Array()),
      [`${PLUGIN}/StateChange`]: async (payload) => {
        const { event, pod, container } = fromBinary(StateChangeEventSchema, payload);
        const type = Object.values(events).find((one) => one.event === event);
        await this.#hear({ event: `StateChange ${type?.method}`, pod, container });
        return new Uint8Array();
      },
    };
    for (const type of Object.values(events)) {
      if (this.#options.old === true && type.stateChange) continue;
      methods[`${PLUGIN}/${type.method}`] = async (payload) => {
        const { pod, container } = fromBinary<DescMessage>(type.request, payload) as {
          pod?: PodSandbox;
          container?: Container;
        };
        const heard = await this.#hear({ event: type.method, pod, container });
        if (type.method !== "CreateContainer" || this.#options.create === undefined) {
          return new Uint8Array();
        }
        const { response } = events.CreateContainer;
        return toBinary(response, create(response, this.#options.create(heard)));
      };
    }
    return methods;
  }

  async #hear(heard: Omit<Heard, "atMs">): Promise<Heard> {
    const told = { ...heard, atMs: performance.now() };
    this.heard.push(told);
    await this.#options.onEvent?.(told);
    return told;
  }
}

/** An answer that is an error. */
export const refusal = (text: string): Error => new TtrpcError(Code.unknown, text);
