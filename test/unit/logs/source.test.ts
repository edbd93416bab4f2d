import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { SourceChain } from "../../../src/logs/source.ts";
import { entry, JsonFileWriter } from "./json-file-writer.ts";

describe("chain of json-files", () => {
  let root: string;
  let path: string;
  let chain: SourceChain;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-chain-"));
    path = join(root, "x-json.log");
  });
  afterEach(() => {
    chain.close();
    rmSync(root, { recursive: true, force: true });
  });
  const size = entry(Buffer.from("000")).length;
  const line = (writer: JsonFileWriter, i: number): void => {
    writer.line(String(i).padStart(3, "0"));
  };
  /** Numbers of the lines in all that can be read now; -1 stands for a told gap. */
  function readAll(): number[] {
    const numbers: number[] = [];
    const buffer = Buffer.alloc(1 << 16);
    for (;;) {
      if (chain.missing !== undefined) {
        numbers.push(-1);
        chain.missingTold();
      }
      const count = chain.read(buffer);
      const given = buffer.subarray(0, count);
      for (const text of given.toString().split("\n").slice(0, -1))
        numbers.push(Number(text.slice(8, 11)));
      chain.advance(count, given);
      if (count > 0) continue;
      if (!chain.headIsComplete) return numbers;
      chain.shift();
    }
  }
  const range = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, i) => from + i);

  it("holds what is rotated away while it is behind, up to its limit", () => {
    chain = new SourceChain(path, null, 8 * size);
    const writer = new JsonFileWriter(path, { maxSize: 2 * size, maxFiles: 2 });
    for (let i = 0; i < 10; i += 1) {
      line(writer, i);
      chain.discover();
    }
    expect(readAll()).to.deep.equal(range(0, 10));
    for (let i = 10; i < 40; i += 1) {
      line(writer, i);
      chain.discover();
    }
    const missing = chain.missing;
    const got = readAll();
    expect(got[0]).to.equal(-1);
    const first = got[1] ?? 0;
    expect(got.slice(1)).to.deep.equal(range(first, 40));
    expect(missing).to.equal((first - 10) * size);
    expect(first).to.be.greaterThan(10).and.lessThan(32);
    writer.close();
  });

  it("tells a gap whenever lines are missing, however often Docker rotated between", () => {
    chain = new SourceChain(path, null, 1 << 20);
    const writer = new JsonFileWriter(path, { maxSize: 3 * size, maxFiles: 3 });
    let next = 0;
    let expected = 0;
    for (const burst of [1, 2, 5, 9, 10, 3, 12, 1, 30, 2, 7, 100, 6]) {
      for (let i = 0; i < burst; i += 1) line(writer, next++);
      chain.discover();
      for (const number of readAll()) {
        if (number === -1) expected = -1;
        else {
          if (expected !== -1) expect(number).to.equal(expected);
          expected = number + 1;
        }
      }
      expect(expected).to.equal(next);
    }
    writer.close();
  });

  it("finds its position in the renamed file, and not in another with the same inode", () => {
    chain = new SourceChain(path, null, 1 << 20);
    const writer = new JsonFileWriter(path, { maxSize: 4 * size, maxFiles: 4 });
    for (let i = 0; i < 3; i += 1) line(writer, i);
    chain.discover();
    expect(readAll()).to.deep.equal([0, 1, 2]);
    const position = chain.position();
    chain.close();
    for (let i = 3; i < 11; i += 1) line(writer, i);

    chain = new SourceChain(path, position, 1 << 20);
    chain.discover();
    expect(readAll()).to.deep.equal(range(3, 11));
    chain.close();

    if (position === null) throw new Error("no position");
    const strange = { ...position, mark: Buffer.from("something else").toString("base64") };
    chain = new SourceChain(path, strange, 1 << 20);
    chain.discover();
    expect(readAll()).to.deep.equal([-1, ...range(0, 11)]);
    writer.close();
  });

  it("takes a file of which nothing was read yet for another when its inode was given away again", function () {
    chain = new SourceChain(path, null, 1 << 20);
    const writer = new JsonFileWriter(path, { maxSize: 4 * size, maxFiles: 4 });
    for (let i = 0; i < 11; i += 1) line(writer, i);
    chain.discover();
    while (chain.headIsComplete) chain.shift();
    const position = chain.position();
    chain.close();
    if (position?.born === undefined) return this.skip();
    expect(position).to.include({ offset: 0, mark: "" });

    for (const [born, seen] of [
      [position.born, range(8, 11)],
      [undefined, range(8, 11)],
      ["1", [-1, ...range(0, 11)]],
    ] as const) {
      // Of an older release there is none.
      const saved = { ...position, ...(born === undefined ? {} : { born }) };
      if (born === undefined) delete saved.born;
      chain = new SourceChain(path, saved, 1 << 20);
      chain.discover();
      expect(readAll()).to.deep.equal(seen);
      chain.close();
    }
    writer.close();
  });
});
