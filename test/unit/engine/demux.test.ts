import { PassThrough, Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { expect } from "chai";
import fc from "fast-check";
import { demux, FrameDecoder, FrameError } from "../../../src/engine/demux.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import { frame } from "../../support/fake-streams.ts";

const frames = fc.array(
  fc.record({ stream: fc.constantFrom(0, 1, 2, 3), payload: fc.uint8Array({ maxLength: 200 }) }),
  { maxLength: 12 },
);
const names = ["stdout", "stdout", "stderr", "system"] as const;

/** `bytes` cut at the given places. */
function split(bytes: Buffer, places: number[]): Buffer[] {
  const cuts = [...new Set(places.map((p) => p % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length));
}

describe("FrameDecoder", () => {
  it("gives every stream its bytes in order, however the input is cut", () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat()), (all, places) => {
        const wire = Buffer.concat(all.map(({ stream, payload }) => frame(stream, payload)));
        const got = new Map<string, Buffer[]>();
        const decoder = new FrameDecoder((stream, bytes) => {
          got.set(stream, [...(got.get(stream) ?? []), bytes]);
        });
        for (const part of split(wire, places)) decoder.push(part);
        expect(decoder.complete).to.equal(true);
        for (const name of new Set(names)) {
          const wanted = all.filter((f) => names[f.stream] === name).map((f) => f.payload);
          expect(Buffer.concat(got.get(name) ?? [])).to.deep.equal(Buffer.concat(wanted));
        }
      }),
    );
  });

  it("hands payload on as views of the input", () => {
    const wire = frame(1, Buffer.from("payload"));
    let seen: Buffer | undefined;
    new FrameDecoder((_, bytes) => (seen = bytes)).push(wire);
    expect(seen?.buffer).to.equal(wire.buffer);
  });

  it("is incomplete inside a header and inside a payload", () => {
    const wire = frame(2, Buffer.from("xyz"));
    for (let length = 1; length < wire.length; length += 1) {
      const decoder = new FrameDecoder(() => undefined);
      decoder.push(wire.subarray(0, length));
      expect(decoder.complete, String(length)).to.equal(false);
    }
  });

  it("refuses what is no frame header", () => {
    for (const bytes of [
      "hello, I am a tty",
      "\x04\0\0\0\0\0\0\x01",
      "\x01\0\0\x01\0\0\0\x01",
      "\x01\0\0\0\xff\xff\xff\xff",
    ]) {
      const decoder = new FrameDecoder(() => undefined);
      expect(() => decoder.push(Buffer.from(bytes, "latin1")), bytes).to.throw(FrameError);
    }
  });
});

describe("demux", () => {
  const out = Buffer.concat([
    frame(1, Buffer.from("a")),
    frame(2, Buffer.from("b")),
    frame(1, Buffer.from("c")),
  ]);

  it("copies to both sinks and leaves them open", async () => {
    const sinks = { stdout: new PassThrough(), stderr: new PassThrough() };
    await demux(Readable.from([out]), sinks);
    expect(sinks.stdout.writable).to.equal(true);
    sinks.stdout.end();
    sinks.stderr.end();
    expect(String(await buffer(sinks.stdout))).to.equal("ac");
    expect(String(await buffer(sinks.stderr))).to.equal("b");
  });

  it("reads no further while a sink is full", async () => {
    let produced = 0;
    const source = Readable.from(
      (function* () {
        for (let i = 0; i < 200; i += 1) {
          produced += 1;
          yield frame(1, Buffer.alloc(16_384));
        }
      })(),
      { highWaterMark: 1 },
    );
    const stdout = new PassThrough({ highWaterMark: 32_768 });
    const done = demux(source, { stdout });
    for (let i = 0; i < 50; i += 1) await setImmediate();
    expect(produced).to.be.lessThan(10);
    let size = 0;
    stdout.on("data", (chunk: Buffer) => (size += chunk.length));
    await done;
    await setImmediate();
    expect(size).to.equal(200 * 16_384);
  });

  it("goes on without a sink that is missing, closed, or closes while it is full", async () => {
    const gone = new PassThrough();
    gone.destroy();
    await demux(Readable.from([out, out]), { stdout: gone });
    const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
    const done = demux(Readable.from([out, out]), { stdout: stuck });
    await setImmediate();
    stuck.destroy();
    await done;
  });

  const failureOf = async (source: Readable): Promise<EngineError> => {
    try {
      await demux(source, {});
    } catch (error) {
      expect(error).to.be.instanceOf(EngineError);
      return error as EngineError;
    }
    throw new Error("did not fail");
  };

  it("fails when the stream ends inside a frame, breaks, or is not framed", async () => {
    expect((await failureOf(Readable.from([out.subarray(0, -1)]))).failure).to.equal("unreachable");
    const broken = new PassThrough();
    broken.write(out);
    void setImmediate().then(() => broken.destroy(new Error("read ECONNRESET")));
    expect((await failureOf(broken)).failure).to.equal("unreachable");
    expect((await failureOf(Readable.from([Buffer.from("plain text")]))).failure).to.equal(
      "protocol",
    );
  });

  it("fails with the engine's own error from the stream", async () => {
    const error = await failureOf(Readable.from([frame(3, Buffer.from("disk is\nfull"))]));
    expect(error.message).to.equal("read container output: disk is full");
  });
});
