import { PassThrough, Writable } from "node:stream";
import { expect } from "chai";
import fc from "fast-check";
import { silentLogger } from "../../../src/log.ts";
import { copyOutput, followResize } from "../../../src/streaming/output.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("window sizes", () => {
  it("are applied however the JSON is cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(60), { maxLength: 8 }), async (cuts) => {
        const text = '{"Width":80,"Height":25}\n{"Width":100,"Height":50}\n';
        const source = new PassThrough();
        const got: string[] = [];
        const stop = followResize(
          source,
          (width, height) => Promise.resolve(void got.push(`${width}x${height}`)),
          silentLogger,
        );
        const places = [...new Set(cuts.map((cut) => cut % text.length))].sort((a, b) => a - b);
        let from = 0;
        for (const place of [...places, text.length]) {
          source.write(text.slice(from, place));
          from = place;
          await turn();
        }
        stop();
        expect(got.at(-1)).to.equal("100x50");
      }),
      { numRuns: 50 },
    );
  });

  it("in between are skipped while one is being applied", async () => {
    const source = new PassThrough();
    const got: number[] = [];
    let release = (): void => undefined;
    const stop = followResize(
      source,
      (width) => {
        got.push(width);
        return new Promise<void>((resolve) => (release = resolve));
      },
      silentLogger,
    );
    for (let width = 1; width <= 100; width += 1) source.write(`{"Width":${width},"Height":1}`);
    await turn();
    release();
    await turn();
    release();
    stop();
    expect(got.length).to.be.at.most(2);
    expect(got.at(-1)).to.equal(100);
  });

  it("that make no sense are ignored, and so are failures", async () => {
    const source = new PassThrough();
    const got: string[] = [];
    const stop = followResize(
      source,
      (width, height) => {
        got.push(`${width}x${height}`);
        return Promise.reject(new Error("no such exec"));
      },
      silentLogger,
    );
    const bad = ["{}", "}", "null", "[1]}", '{"Width":0,"Height":5}', '{"Width":1.5,"Height":5}'];
    const worse = ['{"Width":70000,"Height":5}', '{"Width":"9","Height":5}', "x".repeat(5000)];
    for (const text of [...bad, ...worse, '{"Width":7,"Height":8}']) {
      source.write(text);
      await turn();
    }
    expect(got).to.deep.equal(["7x8"]);
    source.write('{"Width":9,"Height":8}');
    await turn();
    stop();
    source.write('{"Width":10,"Height":8}');
    await turn();
    expect(got).to.deep.equal(["7x8", "9x8"]);
  });
});

describe("output with a tty", () => {
  it("waits for the client and drops what a departed one does not take", async () => {
    const source = new PassThrough({ highWaterMark: 1 << 20 });
    // Takes the first chunk and no more.
    const sink = new Writable({ highWaterMark: 10, write: () => undefined });
    const done = copyOutput(source, true, { stdout: sink, stderr: undefined });
    source.write("x".repeat(100));
    await turn();
    source.write("y".repeat(100));
    await turn();
    expect(sink.writableLength).to.equal(100);
    sink.destroy();
    source.end("z".repeat(100));
    await done;
  });
});
