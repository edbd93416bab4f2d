import { create, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import { Duplex, PassThrough } from "node:stream";
import {
  ConfigureRequestSchema,
  ConfigureResponseSchema,
  RegisterPluginRequestSchema,
} from "../../../src/gen/nri/v1alpha1/api_pb.js";
import { MAX_FRAME, MAX_WAITING, Mux, toFrames } from "../../../src/nri/mux.ts";
import {
  encodeError,
  encodeMessage,
  encodeRequest,
  encodeResponse,
  MAX_MESSAGE,
  MessageReader,
  REQUEST,
  RESPONSE,
} from "../../../src/nri/ttrpc.ts";
import type { Message } from "../../../src/nri/ttrpc.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const text = (value: string): string => Buffer.from(value).toString("hex");
const frame = (connection: number, message: Uint8Array): string =>
  toFrames(connection, message).map(hex).join("");

/** All that the reader makes of some frames, cut as the lengths say. */
function readBack(
  bytes: Uint8Array,
  cuts: readonly number[],
): { messages: Message[]; why: string } {
  const messages: Message[] = [];
  let why = "";
  const reader = new MessageReader((message) => messages.push(message));
  const stream = new PassThrough();
  const mux = new Mux(stream, {
    onData: (connection, data) => {
      if (connection === 1) reader.read(data);
    },
    onClose: (reason) => (why = reason),
  });
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    const end = Math.min(bytes.length, at + cut);
    if (end > at) stream.emit("data", bytes.subarray(at, end));
    at = end;
  }
  mux.close("the test ends");
  return { messages, why };
}

describe("the wire of NRI", () => {
  it("has the bytes of a registration and its answer", () => {
    const payload = toBinary(
      RegisterPluginRequestSchema,
      create(RegisterPluginRequestSchema, {
        pluginName: "logger",
        pluginIdx: "00",
        NRIVersion: "v0.12.5",
      }),
    );
    const data = encodeRequest("nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin", payload, 5000);
    expect(frame(2, encodeMessage(1, REQUEST, data))).to.equal(
      `00000002000000550000004b0000000101000a1c${text("nri.pkg.api.v1alpha1.Runtime")}` +
        `120e${text("RegisterPlugin")}1a150a06${text("logger")}1202${text("00")}1a07${text("v0.12.5")}` +
        "2080e497d012",
    );
    const answer = encodeMessage(1, RESPONSE, encodeResponse(new Uint8Array()));
    expect(frame(2, answer)).to.equal("000000020000000a00000000000000010200");
  });

  it("has the bytes of Configure, of a subscription, and of an error", () => {
    const payload = toBinary(
      ConfigureRequestSchema,
      create(ConfigureRequestSchema, {
        runtimeName: "dockline",
        runtimeVersion: "0.1.0",
        registrationTimeout: 5000n,
        requestTimeout: 2000n,
        NRIVersion: "v0.12.5",
      }),
    );
    const data = encodeRequest("nri.pkg.api.v1alpha1.Plugin", "Configure", payload, 2000);
    expect(frame(1, encodeMessage(1, REQUEST, data))).to.equal(
      `000000010000005a000000500000000101000a1b${text("nri.pkg.api.v1alpha1.Plugin")}` +
        `1209${text("Configure")}1a201208${text("dockline")}1a05${text("0.1.0")}` +
        `2088 27 28d00f 3207${text("v0.12.5")}2080a8d6b907`.replaceAll(" ", ""),
    );
    const all = create(ConfigureResponseSchema, {
      events: 0x3fff,
      failurePolicy: { failRequest: true, keepConnected: true },
    });
    expect(hex(encodeResponse(toBinary(ConfigureResponseSchema, all)))).to.equal(
      "120910ff7f1a0408011001",
    );
    const error = encodeMessage(7, RESPONSE, encodeError(2, "no such balloon"));
    expect(frame(1, error)).to.equal(
      `000000010000001f000000150000000702000a130802120f${text("no such balloon")}`,
    );
  });

  it("cuts a message as a reader in Go can take it: whole to 4096 bytes, else 4096 and the rest", () => {
    const sizes = [0, 4086, 4087, 8182, 10_000, MAX_MESSAGE];
    const lengths = sizes.map((size) =>
      toFrames(1, encodeMessage(1, REQUEST, new Uint8Array(size))).map(({ length }) => length - 8),
    );
    expect(lengths).to.deep.equal([
      [10],
      [4096],
      [4096, 1],
      [4096, 4096],
      [4096, 5914],
      [4096, MAX_MESSAGE + 10 - 4096],
    ]);
    expect(MAX_FRAME).to.equal(4_194_314);
    expect(() => encodeMessage(1, REQUEST, new Uint8Array(MAX_MESSAGE + 1))).to.throw(/4194305/);
  });

  it("is read back however the bytes come, with frames of unknown connections between them", () => {
    const size = fc.oneof(fc.nat(30), fc.integer({ min: 4000, max: 9000 }));
    fc.assert(
      fc.property(
        fc.array(size, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 5000 })),
        (sizes, cuts) => {
          const parts = sizes.flatMap((length, at) => [
            ...toFrames(1, encodeMessage(2 * at + 1, RESPONSE, new Uint8Array(length).fill(at))),
            ...toFrames(9, new Uint8Array(at)),
          ]);
          const { messages } = readBack(Buffer.concat(parts), cuts);
          expect(
            messages.map(({ stream, data }) => [stream, data?.length, data?.[0]]),
          ).to.deep.equal(
            sizes.map((length, at) => [2 * at + 1, length, length === 0 ? undefined : at]),
          );
        },
      ),
    );
  });

  it("ends with a peer that lets more wait than is kept for it", () => {
    const stuck = new Duplex({ read: () => undefined, write: () => undefined });
    const reasons: string[] = [];
    const mux = new Mux(stuck, {
      onData: () => undefined,
      onClose: (reason) => reasons.push(reason),
    });
    const message = new Uint8Array(1 << 20);
    for (let sent = 0; sent < MAX_WAITING - message.length; sent += message.length) {
      mux.send(1, message);
    }
    expect([mux.closed, stuck.destroyed]).to.deep.equal([false, false]);
    for (let more = 0; more < 3; more += 1) mux.send(1, message);
    expect([mux.closed, stuck.destroyed]).to.deep.equal([true, true]);
    expect(reasons).to.have.length(1);
    expect(reasons[0]).to.match(/^the plugin does not read: \d+ bytes wait for it$/);
  });

  it("ends with a frame over the limit, and drops a message over it", () => {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(1, 0);
    header.writeUInt32BE(MAX_FRAME + 1, 4);
    expect(readBack(header, []).why).to.equal(`frame of ${MAX_FRAME + 1} bytes`);
    const messages: Message[] = [];
    const reader = new MessageReader((message) => messages.push(message));
    const head = Buffer.alloc(10);
    head.writeUInt32BE(MAX_MESSAGE + 1, 0);
    head.writeUInt32BE(3, 4);
    head.writeUInt8(REQUEST, 8);
    reader.read(head);
    for (let left = MAX_MESSAGE + 1; left > 0; left -= 1 << 20) {
      reader.read(new Uint8Array(Math.min(left, 1 << 20)));
    }
    reader.read(encodeMessage(5, REQUEST, new Uint8Array(2)));
    expect(messages.map(({ stream, data }) => [stream, data?.length])).to.deep.equal([
      [3, undefined],
      [5, 2],
    ]);
  });
});
