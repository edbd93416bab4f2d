import { expect } from "chai";
import fc from "fast-check";
import { LineSplitter, LineTooLong, readLines } from "../../../src/engine/ndjson.ts";

describe("LineSplitter", () => {
  it("finds the same lines however the bytes are cut", () => {
    const line = fc.string({ unit: "binary", minLength: 1 }).filter((s) => !/[\r\n]/.test(s));
    fc.assert(
      fc.property(
        fc.array(line),
        fc.array(fc.nat()),
        fc.constantFrom("\n", "\r\n"),
        (lines, cuts, eol) => {
          const wire = Buffer.from(lines.map((l) => l + eol).join(""));
          const wanted = lines.map((l) => Buffer.from(l).toString("utf8"));
          const places = [0, ...cuts.map((c) => c % (wire.length + 1)).sort((a, b) => a - b)];
          const splitter = new LineSplitter(1 << 20);
          const got = places.flatMap((from, i) =>
            splitter.push(wire.subarray(from, places[i + 1] ?? wire.length)),
          );
          expect([...got, ...splitter.end()]).to.deep.equal(wanted);
        },
      ),
    );
  });

  it("gives the unfinished last line at the end and leaves empty ones out", () => {
    const splitter = new LineSplitter(100);
    expect(splitter.push(Buffer.from("\n\na\n\r\nb"))).to.deep.equal(["a"]);
    expect(splitter.end()).to.deep.equal(["b"]);
    expect(splitter.end()).to.deep.equal([]);
  });

  it("refuses a line over the limit, also when it comes in pieces", () => {
    const splitter = new LineSplitter(10);
    expect(splitter.push(Buffer.from("0123456789\n"))).to.deep.equal(["0123456789"]);
    splitter.push(Buffer.from("01234567"));
    expect(() => splitter.push(Buffer.from("890"))).to.throw(LineTooLong);
  });
});

describe("readLines", () => {
  it("stops the source when its reader stops", async () => {
    let stopped = false;
    const source = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) {
          await Promise.resolve();
          yield Buffer.from("x\ny\n");
        }
      } finally {
        stopped = true;
      }
    };
    for await (const line of readLines(source(), 10)) {
      expect(line).to.equal("x");
      break;
    }
    expect(stopped).to.equal(true);
  });
});
