import { expect } from "chai";
import fc from "fast-check";
import {
  FrameDecoder,
  SpdyError,
  dataFrames,
  dataHeader,
  encodeGoAway,
  encodePing,
  encodeRstStream,
  encodeSettings,
  encodeSynReply,
  encodeSynStream,
  encodeWindowUpdate,
  maxControlFrameBytes,
} from "../../../../src/streaming/spdy/frames.ts";
import type { Frame } from "../../../../src/streaming/spdy/frames.ts";

function data(streamId: number, bytes: Buffer, fin: boolean): Buffer {
  return Buffer.concat([dataHeader(streamId, bytes.length, fin), bytes]);
}

/** Joins the parts of DATA frames, so that only what was said counts and not how it was cut. */
function said(frames: readonly Frame[]): unknown[] {
  const result: unknown[] = [];
  let open: { streamId: number; text: string } | undefined;
  const flush = (fin: boolean): void => {
    if (open !== undefined) result.push(["data", open.streamId, open.text, fin]);
    open = undefined;
  };
  for (const frame of frames) {
    if (frame.type !== "data" || (open !== undefined && open.streamId !== frame.streamId))
      flush(false);
    if (frame.type === "data") {
      open ??= { streamId: frame.streamId, text: "" };
      open.text += frame.bytes.toString("hex");
      if (frame.fin) flush(true);
    } else {
      const plain = Object.entries(frame).map(([key, value]: [string, unknown]) => [
        key,
        Buffer.isBuffer(value) ? value.toString("hex") : value,
      ]);
      result.push(Object.fromEntries(plain));
    }
  }
  flush(false);
  return result;
}

function control(type: number, flags: number, payload: Buffer, version = 3): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8000 | version, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(payload.length, 4);
  head.writeUInt8(flags, 4);
  return Buffer.concat([head, payload]);
}

const streamId = fc.integer({ min: 1, max: 0x7fffffff });
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const anyFrame = fc.oneof(
  fc.tuple(streamId, bytes, fc.boolean()).map((given) => data(...given)),
  fc.tuple(streamId, bytes, fc.boolean()).map((given) => encodeSynStream(...given)),
  fc.tuple(streamId, bytes).map((given) => encodeSynReply(...given)),
  fc.tuple(streamId, fc.nat()).map((given) => encodeRstStream(...given)),
  fc.nat().map(encodePing),
  fc.tuple(streamId, fc.nat()).map((given) => encodeGoAway(...given)),
  fc.tuple(streamId, fc.nat()).map((given) => encodeWindowUpdate(...given)),
  fc.constant(encodeSettings()),
  bytes.map((payload) => control(77, 0, payload)),
);

describe("SPDY frames", () => {
  it("come out the same however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 12 }),
        fc.array(fc.nat(2000), { maxLength: 30 }),
        (frames, cuts) => {
          const all = Buffer.concat(frames);
          const places = [...new Set(cuts.map((cut) => cut % (all.length + 1)))].sort(
            (a, b) => a - b,
          );
          const whole = new FrameDecoder().push(all);
          const decoder = new FrameDecoder();
          const pieces = [0, ...places].flatMap((place, index) =>
            decoder.push(all.subarray(place, places[index] ?? all.length)),
          );
          expect(said(pieces)).to.deep.equal(said(whole));
        },
      ),
    );
  });

  it("carry all parts that are sent together, in order and in frames of at most 64 KiB", () => {
    const part = fc.nat(100_000).map((length) => Buffer.alloc(length, length % 251));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const decoder = new FrameDecoder();
        const got: Buffer[] = [];
        for (const piece of dataFrames(9, parts)) {
          // A header is alone; so is each piece of payload.
          const length =
            piece.length === 8 && piece.readUInt32BE(0) === 9 ? piece.readUIntBE(5, 3) : 0;
          expect(length).to.be.at.most(64 << 10);
          for (const frame of decoder.push(piece)) {
            expect(frame).to.include({ type: "data", streamId: 9, fin: false });
            if (frame.type === "data") got.push(frame.bytes);
          }
        }
        expect(Buffer.concat(got).equals(Buffer.concat(parts))).to.equal(true);
      }),
      { numRuns: 50 },
    );
  });

  it("come out the same byte by byte", () => {
    const all = Buffer.concat([
      encodeSynStream(1, Buffer.from("block"), true),
      data(1, Buffer.from("hello"), false),
      data(1, Buffer.alloc(0), true),
      encodePing(3),
      encodeGoAway(1, 2),
    ]);
    const decoder = new FrameDecoder();
    const frames = [...all].flatMap((byte) => decoder.push(Buffer.from([byte])));
    expect(said(frames)).to.deep.equal(said(new FrameDecoder().push(all)));
    expect(frames.at(-1)).to.deep.equal({ type: "goAway", lastStreamId: 1, status: 2 });
  });

  it("carry what was encoded", () => {
    const [frame] = new FrameDecoder().push(encodeSynStream(5, Buffer.from("x"), true));
    expect(frame).to.deep.equal({
      ...{ type: "synStream", streamId: 5, block: Buffer.from("x") },
      ...{ fin: true, unidirectional: false },
    });
    expect(new FrameDecoder().push(encodeWindowUpdate(7, 99))).to.deep.equal([
      { type: "windowUpdate", streamId: 7, delta: 99 },
    ]);
    expect(new FrameDecoder().push(encodeRstStream(7, 5))).to.deep.equal([
      { type: "rstStream", streamId: 7, status: 5 },
    ]);
  });

  it("hand data on before their frame is complete", () => {
    const frame = data(9, Buffer.alloc(1000, 1), true);
    const decoder = new FrameDecoder();
    const first = decoder.push(frame.subarray(0, 108));
    expect(first).to.have.length(1);
    expect(first[0]).to.include({ type: "data", fin: false });
    const rest = decoder.push(frame.subarray(108));
    expect(rest[0]).to.include({ type: "data", fin: true });
  });

  const word = (...values: number[]): Buffer => {
    const result = Buffer.alloc(4 * values.length);
    values.forEach((value, index) => result.writeUInt32BE(value, 4 * index));
    return result;
  };
  const hostile: Record<string, Buffer> = {
    "data for stream 0": dataHeader(0, 1, false),
    "a control frame over the limit": control(1, 0, Buffer.alloc(maxControlFrameBytes + 1)),
    "another SPDY version": control(6, 0, word(1), 2),
    "settings that promise more than they hold": control(4, 0, word(0xffffffff)),
    "many settings": control(4, 0, Buffer.concat([word(33), Buffer.alloc(33 * 8)])),
    "settings with a tail": control(4, 0, word(0, 0)),
    "settings without a count": control(4, 0, Buffer.alloc(0)),
    "a short SYN_STREAM": control(1, 0, Buffer.alloc(9)),
    "a short SYN_REPLY": control(2, 0, Buffer.alloc(3)),
    "a short HEADERS": control(8, 0, Buffer.alloc(3)),
    "a short RST_STREAM": control(3, 0, word(1)),
    "a long RST_STREAM": control(3, 0, word(1, 1, 1)),
    "an empty PING": control(6, 0, Buffer.alloc(0)),
    "a long PING": control(6, 0, word(1, 1)),
    "a short GOAWAY": control(7, 0, word(1)),
    "a short WINDOW_UPDATE": control(9, 0, word(1)),
  };
  for (const [name, attack] of Object.entries(hostile)) {
    it(`refuse ${name}`, () => {
      expect(() => new FrameDecoder().push(attack)).to.throw(SpdyError);
    });
  }

  it("hand on the payload of the longest data frame as it comes", () => {
    const decoder = new FrameDecoder();
    const length = (1 << 24) - 1;
    decoder.push(dataHeader(1, length, true));
    const chunk = Buffer.alloc(1 << 16);
    for (let left = length; left > 0; left -= chunk.length) {
      const bytes = chunk.subarray(0, left);
      const fin = left <= chunk.length;
      const frames = decoder.push(bytes);
      expect(frames).to.have.length(1);
      expect(frames[0]).to.include({ type: "data", streamId: 1, fin });
      expect((frames[0] as { bytes: Buffer }).bytes.buffer, "no copy").to.equal(chunk.buffer);
      expect((frames[0] as { bytes: Buffer }).bytes).to.have.length(bytes.length);
    }
  });

  it("refuse a size before its payload has come", () => {
    const head = control(1, 0, Buffer.alloc(maxControlFrameBytes + 1)).subarray(0, 8);
    expect(() => new FrameDecoder().push(head)).to.throw(SpdyError, "control frame");
  });

  it("never fail with anything but SpdyError, and never hold more than a control frame", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        const decoder = new FrameDecoder();
        try {
          for (const chunk of chunks) decoder.push(Buffer.from(chunk));
        } catch (error) {
          expect(error).to.be.instanceOf(SpdyError);
        }
      }),
    );
  });
});
