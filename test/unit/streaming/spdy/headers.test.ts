import { createDeflate, inflateSync, constants, deflateSync } from "node:zlib";
import { expect } from "chai";
import fc from "fast-check";
import { spdyDictionary, spdyDictionaryId } from "../../../../src/streaming/spdy/dictionary.ts";
import { SpdyError } from "../../../../src/streaming/spdy/frames.ts";
import {
  HeaderDeflater,
  HeaderInflater,
  maxHeaderBlockBytes,
  maxHeaders,
} from "../../../../src/streaming/spdy/headers.ts";

function plainBlock(pairs: readonly (readonly [string, string])[], count = pairs.length): Buffer {
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const texts = pairs.flat().flatMap((text) => [word(text.length), Buffer.from(text, "latin1")]);
  return Buffer.concat([word(count), ...texts]);
}

/** Blocks as zlib itself writes them: one stream, a sync flush after each. */
async function zlibBlocks(plain: readonly Buffer[], level = 9): Promise<Buffer[]> {
  const deflate = createDeflate({ dictionary: spdyDictionary, level });
  const blocks: Buffer[] = [];
  for (const block of plain) {
    deflate.write(block);
    await new Promise<void>((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    blocks.push(deflate.read() as Buffer);
  }
  deflate.destroy();
  return blocks;
}

function adler32(bytes: Buffer): number {
  let low = 1;
  let high = 0;
  for (const byte of bytes) {
    low = (low + byte) % 65_521;
    high = (high + low) % 65_521;
  }
  return high * 65_536 + low;
}

const name = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
const value = fc.stringMatching(/^[ -~]{0,60}$/);
const headerSet = fc
  .uniqueArray(fc.tuple(name, value), { maxLength: 10, selector: ([key]) => key })
  .map((pairs) => new Map(pairs));

describe("SPDY header blocks", () => {
  it("use the dictionary of the draft", () => {
    expect(spdyDictionary.length).to.equal(1423);
    expect(adler32(spdyDictionary)).to.equal(spdyDictionaryId);
  });

  it("from zlib are inflated one by one, with the state of those before", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(headerSet, { minLength: 1, maxLength: 8 }), async (sets) => {
        const inflater = new HeaderInflater();
        const blocks = await zlibBlocks(sets.map((headers) => plainBlock([...headers])));
        const got = blocks.map((block) => [...inflater.inflate(block)]);
        expect(got).to.deep.equal(sets.map((headers) => [...headers]));
      }),
      { numRuns: 50 },
    );
  });

  it("are inflated when the history is longer than deflate's window", async () => {
    const sets = Array.from({ length: 40 }, (_, index) => {
      const text = Buffer.alloc(3000, `${index}-abcdefgh`).toString("latin1");
      return [["x", text]] as const;
    });
    const blocks = await zlibBlocks(sets.map((pairs) => plainBlock(pairs)));
    const inflater = new HeaderInflater();
    blocks.forEach((block, index) => {
      expect(inflater.inflate(block).get("x")).to.equal(sets[index]![0][1]);
    });
  });

  it("that we write are read by zlib", () => {
    fc.assert(
      fc.property(fc.array(headerSet, { minLength: 1, maxLength: 8 }), (sets) => {
        const deflater = new HeaderDeflater();
        const stream = Buffer.concat(sets.map((headers) => deflater.deflate(headers)));
        const plain = inflateSync(stream, {
          dictionary: spdyDictionary,
          finishFlush: constants.Z_SYNC_FLUSH,
        });
        const expected = Buffer.concat(sets.map((headers) => plainBlock([...headers])));
        expect(plain.equals(expected)).to.equal(true);
      }),
    );
  });

  it("that we write are read by ourselves", () => {
    const deflater = new HeaderDeflater();
    const inflater = new HeaderInflater();
    for (const headers of [new Map([["streamtype", "error"]]), new Map(), new Map([["a", ""]])]) {
      expect([...inflater.inflate(deflater.deflate(headers))]).to.deep.equal([...headers]);
    }
  });

  it("that inflate without end are stopped at the limit", async () => {
    const bomb = deflateSync(Buffer.alloc(200 << 20), { dictionary: spdyDictionary });
    expect(bomb.length).to.be.below(300_000);
    const before = process.memoryUsage().rss;
    const inflater = new HeaderInflater();
    expect(() => inflater.inflate(bomb.subarray(0, 60_000))).to.throw(SpdyError, "over 65536");
    expect(process.memoryUsage().rss - before).to.be.below(30 << 20);
    const [exact] = await zlibBlocks([plainBlock([["x", "y".repeat(maxHeaderBlockBytes - 13)]])]);
    expect(new HeaderInflater().inflate(exact!).get("x")).to.have.length(maxHeaderBlockBytes - 13);
  });

  const hostile: Record<string, Buffer> = {
    "a count over the limit": plainBlock([], maxHeaders + 1),
    "a huge count": plainBlock([], 0xffffffff),
    "a count over what is there": plainBlock([["a", "b"]], 2),
    "bytes after the last header": Buffer.concat([plainBlock([["a", "b"]]), Buffer.from("x")]),
    "an upper-case name": plainBlock([["Stream", "b"]]),
    "an empty name": plainBlock([["", "b"]]),
    "a name that comes twice": plainBlock([
      ["a", "b"],
      ["a", "c"],
    ]),
    "a length over the block": Buffer.from([0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 1]),
    "half a length": Buffer.from([0, 0]),
  };
  for (const [what, plain] of Object.entries(hostile)) {
    it(`with ${what} are refused`, async () => {
      const [block] = await zlibBlocks([plain]);
      expect(() => new HeaderInflater().inflate(block!)).to.throw(SpdyError);
    });
  }

  it("that are not zlib with the dictionary are refused", () => {
    const wrong = [
      Buffer.alloc(0),
      Buffer.from([0x78]),
      Buffer.from("not zlib at all"),
      deflateSync(plainBlock([])),
      deflateSync(plainBlock([]), { dictionary: Buffer.from("another one") }),
    ];
    for (const block of wrong) {
      expect(() => new HeaderInflater().inflate(block)).to.throw(SpdyError);
    }
  });

  it("never fail with anything but SpdyError", async () => {
    const [good] = await zlibBlocks([plainBlock([["streamtype", "error"]])]);
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), (place, byte) => {
        const bad = Buffer.from(good!);
        bad.writeUInt8(byte, place % bad.length);
        try {
          new HeaderInflater().inflate(bad);
        } catch (error) {
          expect(error).to.be.instanceOf(SpdyError);
        }
      }),
    );
  });
});
