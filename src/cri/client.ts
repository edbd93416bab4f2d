import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import type { CallOptions, ServiceError } from "@grpc/grpc-js";

export interface ClientCallOptions {
  /** Deadline of the call; none by default. */
  timeoutMs?: number;
  signal?: AbortSignal;
  metadata?: Record<string, string>;
}

type ClientMethod<M> = M extends {
  methodKind: infer K;
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? K extends "server_streaming"
    ? (request: MessageInitShape<I>, options?: ClientCallOptions) => AsyncIterable<MessageShape<O>>
    : (request: MessageInitShape<I>, options?: ClientCallOptions) => Promise<MessageShape<O>>
  : never;

/** One service of a CRI endpoint; every method rejects with grpc-js's ServiceError. */
export type ServiceClient<S extends { method: object }> = {
  [K in keyof S["method"]]: ClientMethod<S["method"][K]>;
};

/** A connection to a CRI endpoint, shared by its services. */
export interface Connection {
  client: Client;
  close(): void;
}

/** Connects lazily; `endpoint` is unix:///path or a bare path. */
export function connect(endpoint: string): Connection {
  const target = endpoint.startsWith("/") ? `unix://${endpoint}` : endpoint;
  const client = new Client(target, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 64 * 1024 * 1024,
    "grpc.max_send_message_length": -1,
    // The kubelet's authority; grpc-js would send the percent-encoded path.
    "grpc.default_authority": "localhost",
  });
  return { client, close: () => client.close() };
}

export function serviceClient<S extends DescService>(
  connection: Connection,
  service: S,
): ServiceClient<S> {
  const methods: Record<string, unknown> = {};
  for (const method of service.methods) {
    methods[method.localName] =
      method.methodKind === "server_streaming"
        ? streamMethod(connection.client, service, method)
        : unaryMethod(connection.client, service, method);
  }
  return methods as ServiceClient<S>;
}

function wire(service: DescService, method: DescMethod) {
  return {
    path: `/${service.typeName}/${method.name}`,
    serialize: (value: object): Buffer =>
      Buffer.from(toBinary(method.input, create(method.input, value as never))),
    deserialize: (bytes: Buffer): object => fromBinary(method.output, bytes),
  };
}

function unaryMethod(client: Client, service: DescService, method: DescMethod) {
  const { path, serialize, deserialize } = wire(service, method);
  return (request: object, options: ClientCallOptions = {}): Promise<object> =>
    new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        metadataOf(options),
        callOptions(options),
        (error: ServiceError | null, response?: object) => {
          options.signal?.removeEventListener("abort", cancel);
          if (error !== null) reject(error);
          else resolve(response ?? {});
        },
      );
      const cancel = (): void => call.cancel();
      options.signal?.addEventListener("abort", cancel, { once: true });
      if (options.signal?.aborted === true) cancel();
    });
}

function streamMethod(client: Client, service: DescService, method: DescMethod) {
  const { path, serialize, deserialize } = wire(service, method);
  return async function* (
    request: object,
    options: ClientCallOptions = {},
  ): AsyncGenerator<object> {
    const call = client.makeServerStreamRequest(
      path,
      serialize,
      deserialize,
      request,
      metadataOf(options),
      callOptions(options),
    );
    const cancel = (): void => call.cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of call) yield message as object;
    } finally {
      options.signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  };
}

function metadataOf(options: ClientCallOptions): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
  return metadata;
}

function callOptions(options: ClientCallOptions): CallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}
