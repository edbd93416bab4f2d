import { expect } from "chai";
import { TtrpcClient } from "../../../src/nri/ttrpc-client.ts";
import { TtrpcServer } from "../../../src/nri/ttrpc-server.ts";
import type { Handler } from "../../../src/nri/ttrpc-server.ts";
import {
  decodeResponse,
  encodeMessage,
  encodeRequest,
  MessageReader,
  NoAnswer,
  REQUEST,
  TtrpcError,
} from "../../../src/nri/ttrpc.ts";
import { systemClock } from "../../../src/sys/clock.ts";

/** A client and a server that hear each other. */
function pair(methods: Record<string, Handler>): TtrpcClient {
  const server = new TtrpcServer((message) => setImmediate(() => client.read(message)), methods);
  const client = new TtrpcClient(
    (message) => setImmediate(() => server.read(message)),
    systemClock,
  );
  return client;
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("ttrpc", () => {
  it("gives back answers and errors, with their codes", async () => {
    const client = pair({
      "s/echo": (payload) => Promise.resolve(payload),
      "s/refuse": () => Promise.reject(new TtrpcError(9, "not now")),
      "s/fail": () => Promise.reject(new Error("two\nlines")),
    });
    const call = (method: string) => client.call("s", method, new Uint8Array([1, 2]), 10_000);
    expect([...(await call("echo"))]).to.deep.equal([1, 2]);
    expect(await failure(call("refuse"))).to.include({ code: 9, message: "not now" });
    expect(await failure(call("fail"))).to.include({ code: 2, message: "two lines" });
    expect(await failure(call("nothing"))).to.include({ code: 12 });
  });

  it("gives up a call that nobody answers, and all of them when the connection ends", async () => {
    let late: () => void = () => undefined;
    const clock = {
      ...systemClock,
      sleep: () => new Promise<void>((resolve) => (late = resolve)),
    };
    const client = new TtrpcClient(() => undefined, clock);
    const first = failure(client.call("s", "m", new Uint8Array(), 2000));
    late();
    const error = await first;
    expect(error).to.be.instanceOf(NoAnswer).and.include({ late: true });
    const second = failure(client.call("s", "m", new Uint8Array(), 2000));
    client.close("connection closed");
    expect(await second)
      .to.be.instanceOf(NoAnswer)
      .and.include({ late: false });
    expect(await failure(client.call("s", "m", new Uint8Array(), 2000))).to.be.instanceOf(NoAnswer);
  });

  it("refuses even and old ids, and a fifth request at once", async () => {
    const codes = new Map<number, number[]>();
    const reader = new MessageReader(({ stream, data }) => {
      const code = decodeResponse(data ?? new Uint8Array()).status?.code ?? 0;
      codes.set(stream, [...(codes.get(stream) ?? []), code]);
    });
    const release: (() => void)[] = [];
    const server = new TtrpcServer((message) => reader.read(message), {
      "s/wait": (payload) => new Promise((resolve) => release.push(() => resolve(payload))),
    });
    const ask = (stream: number): void => {
      const request = encodeRequest("s", "wait", new Uint8Array(), 1000);
      server.read(encodeMessage(stream, REQUEST, request));
    };
    for (const stream of [1, 2, 3, 3, 5, 7, 9]) ask(stream);
    for (const one of release) one();
    await new Promise((resolve) => setImmediate(resolve));
    expect([...codes].sort(([a], [b]) => a - b)).to.deep.equal([
      [1, [0]],
      [2, [3]],
      [3, [3, 0]],
      [5, [0]],
      [7, [0]],
      [9, [8]],
    ]);
  });
});
