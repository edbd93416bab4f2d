import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Duplex } from "node:stream";
import { errorText } from "../errors.ts";
import type { Clock } from "../sys/clock.ts";
import { Mux, PLUGIN_CONNECTION, RUNTIME_CONNECTION } from "./mux.ts";
import { TtrpcClient } from "./ttrpc-client.ts";
import { TtrpcServer, type Handler } from "./ttrpc-server.ts";
import { NoAnswer } from "./ttrpc.ts";

const PLUGIN_SERVICE = "nri.pkg.api.v1alpha1.Plugin";
const RUNTIME_SERVICE = "nri.pkg.api.v1alpha1.Runtime";

/** The runtime's end of one plugin's stream: calls the plugin, and serves what the plugin calls. */
export class Connection {
  readonly #mux: Mux;
  readonly #client: TtrpcClient;
  #closedBecause: string | undefined;

  /** @param methods of the runtime's service, by their names */
  constructor(
    stream: Duplex,
    clock: Clock,
    methods: Readonly<Record<string, Handler>>,
    onClose: (reason: string) => void,
  ) {
    this.#client = new TtrpcClient((message) => this.#mux.send(PLUGIN_CONNECTION, message), clock);
    const server = new TtrpcServer(
      (message) => this.#mux.send(RUNTIME_CONNECTION, message),
      Object.fromEntries(
        Object.entries(methods).map(([name, handler]) => [`${RUNTIME_SERVICE}/${name}`, handler]),
      ),
    );
    this.#mux = new Mux(stream, {
      onData: (connection, bytes) => {
        if (connection === PLUGIN_CONNECTION) this.#client.read(bytes);
        else server.read(bytes);
      },
      onClose: (reason) => {
        this.#closedBecause = reason;
        this.#client.close(reason);
        onClose(reason);
      },
    });
  }

  /** Undefined while it is there. */
  get closedBecause(): string | undefined {
    return this.#closedBecause;
  }

  close(reason: string): void {
    this.#mux.close(reason);
  }

  /** @throws TtrpcError, NoAnswer */
  async call<Request extends DescMessage, Response extends DescMessage>(
    method: string,
    request: Request,
    response: Response,
    message: MessageInitShape<Request>,
    timeoutMs: number,
  ): Promise<MessageShape<Response>> {
    return await this.send(
      method,
      toBinary(request, create(request, message)),
      response,
      timeoutMs,
    );
  }

  /** The same of a message that is encoded already. */
  async send<Response extends DescMessage>(
    method: string,
    payload: Uint8Array,
    response: Response,
    timeoutMs: number,
  ): Promise<MessageShape<Response>> {
    const answer = await this.#client.call(PLUGIN_SERVICE, method, payload, timeoutMs);
    try {
      return fromBinary(response, answer);
    } catch (error) {
      throw new NoAnswer(false, `answer to ${method} cannot be read: ${errorText(error)}`);
    }
  }
}
