/*
 * src/cri: the CRI on the wire: typed handlers, the wrapper around each call, error codes, the socket,
 * a client.
 * Not here: Docker, and what a call does: handlers are in src/rpc.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { status as GrpcCode } from "@grpc/grpc-js";
import type {
  MethodDefinition,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
  sendUnaryData,
} from "@grpc/grpc-js";
import type { Logger } from "../log.ts";
import { CriError } from "../errors.ts";
import { toStatusObject } from "./status.ts";

/** What every handler gets beside its request. */
export interface CallContext {
  /** Aborts when the caller cancels or its deadline passes. Effects once begun are not cut by it. */
  signal: AbortSignal;
  /** Milliseconds that the caller still waits; Infinity without a deadline. */
  remainingMs(): number;
  log: Logger;
  /** The first value of a metadata key that the caller sent. */
  metadata(key: string): string | undefined;
}

/** A response whose bytes are ready (the index's joined fragments): sent as they are. */
export class Encoded {
  readonly bytes: Uint8Array;
  /** What they were made of, where that is at hand. */
  readonly message: object | undefined;
  constructor(bytes: Uint8Array, message?: object) {
    this.bytes = bytes;
    this.message = message;
  }
}

type Reply<O extends DescMessage> = MessageInitShape<O> | Encoded;

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => Promise<Reply<O>>;

export type StreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => AsyncIterable<Reply<O>>;

type HandlerOf<M> = M extends {
  methodKind: infer K;
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? K extends "server_streaming"
    ? StreamHandler<I, O>
    : UnaryHandler<I, O>
  : never;

/** Typed handlers of one service; an RPC left out answers UNIMPLEMENTED by construction. */
export type Handlers<S extends { method: object }> = {
  [K in keyof S["method"]]?: HandlerOf<S["method"][K]>;
};

/** Runs around every call: logging, metrics, tracing (cri/observe.ts). */
export type Observer = <T>(call: ObservedCall, work: () => Promise<T>) => Promise<T>;

export interface ObservedCall {
  rpc: string;
  /** "runtime.v1.RuntimeService". */
  service: string;
  request: object;
  context: CallContext;
}

type AnyHandler = (request: unknown, context: CallContext) => unknown;

/**
 * Turns typed handlers into what grpc-js registers. A handler that throws or rejects answers its
 * caller and nothing else: a bare async function registered with grpc-js would be an unhandled
 * rejection and leave the client waiting.
 */
export function bindService(
  service: DescService,
  handlers: Record<string, unknown>,
  options: { log: Logger; observe: Observer },
): { definition: ServiceDefinition; implementation: UntypedServiceImplementation } {
  const definition: Record<string, MethodDefinition<object, object>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    definition[method.name] = methodDefinition(service, method);
    const handler = handlers[method.localName] as AnyHandler | undefined;
    // Once for each RPC, not for each call: a child logger encodes its fields when it is made.
    const bound = { ...options, log: options.log.child({ rpc: method.name }) };
    implementation[method.name] =
      method.methodKind === "server_streaming"
        ? streamCall(method, handler, bound)
        : unaryCall(method, handler, bound);
  }
  return { definition, implementation };
}

function methodDefinition(
  service: DescService,
  method: DescMethod,
): MethodDefinition<object, object> {
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestSerialize: (value) => view(toBinary(method.input, value as never)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    // Handlers' answers are bytes by then (`encode`).
    responseSerialize: (value) => view((value as Encoded).bytes),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/**
 * The bytes of an answer, made where a failure still counts as the call's: grpc-js would answer
 * INTERNAL by itself, after the call was logged and counted as OK.
 */
function encode(method: DescMethod, answer: object): Encoded {
  if (answer instanceof Encoded) return answer;
  return new Encoded(toBinary(method.output, create(method.output, answer as never)), answer);
}

/** A Buffer over the same memory: a list of 500 containers is not copied once more. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function observed(method: DescMethod, request: object, context: CallContext): ObservedCall {
  return { rpc: method.name, service: method.parent.typeName, request, context };
}

function unimplemented(method: DescMethod): CriError {
  return new CriError("Unimplemented", `${method.name} is not implemented`);
}

function unaryCall(
  method: DescMethod,
  handler: AnyHandler | undefined,
  options: { log: Logger; observe: Observer },
) {
  return (call: ServerUnaryCall<object, object>, reply: sendUnaryData<object>): void => {
    const { context, release } = contextOf(call, options.log);
    options
      .observe(observed(method, call.request, context), async () => {
        if (handler === undefined) throw unimplemented(method);
        return encode(method, (await handler(call.request, context)) as object);
      })
      .then(
        (encoded) => {
          release();
          if (!call.cancelled) reply(null, encoded);
        },
        (error: unknown) => {
          release();
          if (!call.cancelled) reply(toStatusObject(error, method.name));
        },
      )
      .catch((err: unknown) => {
        // The details of the status could not be sent: the caller still gets one.
        options.log.error({ err, rpc: method.name }, "reply failed");
        if (!call.cancelled) reply({ code: GrpcCode.INTERNAL, details: "reply failed" });
      });
  };
}

function streamCall(
  method: DescMethod,
  handler: AnyHandler | undefined,
  options: { log: Logger; observe: Observer },
) {
  return (call: ServerWritableStream<object, object>): void => {
    const { context, release } = contextOf(call, options.log);
    options
      .observe(observed(method, call.request, context), async () => {
        if (handler === undefined) throw unimplemented(method);
        for await (const message of handler(call.request, context) as AsyncIterable<object>) {
          if (context.signal.aborted) break;
          if (!call.write(encode(method, message))) await drained(call, context.signal);
        }
      })
      .then(
        () => {
          release();
          call.end();
        },
        (error: unknown) => {
          release();
          if (!call.cancelled) call.emit("error", toStatusObject(error, method.name));
        },
      )
      .catch((err: unknown) => {
        options.log.error({ err, rpc: method.name }, "reply failed");
      });
  };
}

function drained(call: ServerWritableStream<object, object>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    call.on("drain", done);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}

const deadlineSlackMs = 100;

function contextOf(
  call: ServerUnaryCall<object, object> | ServerWritableStream<object, object>,
  log: Logger,
): { context: CallContext; release: () => void } {
  const controller = new AbortController();
  // From here on by the monotonic clock: the wall clock may be set while the call runs.
  const deadline = deadlineMs(call.getDeadline(), performance.now() - Date.now());
  const abort = (): void => {
    // grpc-js says "cancelled" for both; the deadline tells them apart. The caller's began to run
    // before its request came here, so its own end of waiting may be seen before ours.
    const late = deadline !== undefined && performance.now() >= deadline - deadlineSlackMs;
    controller.abort(
      late
        ? new CriError("DeadlineExceeded", "the caller's deadline passed")
        : new CriError("Cancelled", "the caller cancelled the call"),
    );
  };
  // It also fires when the session closes after the reply: nothing listens any more then.
  call.on("cancelled", abort);
  return {
    context: {
      signal: controller.signal,
      remainingMs: () =>
        deadline === undefined ? Infinity : Math.max(0, deadline - performance.now()),
      log,
      metadata: (key) => {
        const value = call.metadata.get(key)[0];
        return value === undefined ? undefined : value.toString();
      },
    },
    release: () => {
      call.off("cancelled", abort);
    },
  };
}

/** `offsetMs`: from the wall clock to the clock of the answer. */
function deadlineMs(deadline: Date | number, offsetMs: number): number | undefined {
  const ms = deadline instanceof Date ? deadline.getTime() : deadline;
  return Number.isFinite(ms) ? ms + offsetMs : undefined;
}
