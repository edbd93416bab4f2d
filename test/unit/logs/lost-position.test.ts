import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { appendGap, LineBuffer } from "../../../src/logs/format.ts";
import { entry } from "./json-file-writer.ts";
import { docker, timeOf, words, written } from "./numbered-lines.ts";
import { contents, ID, makeNode, openFiles, type Node } from "./setup.ts";

const GAP = "dockline: some bytes";

describe("a log whose position is lost", () => {
  let node: Node;
  beforeEach(() => {
    node = makeNode();
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    mkdirSync(dirname(node.logFile), { recursive: true });
  });
  afterEach(async () => {
    await node.cleanUp();
  });
  /** Docker's files, the oldest first. */
  const dockerHas = (...files: string[]): void => {
    files.reverse().forEach((lines, index) => {
      const name = index === 0 ? "" : `.${String(index)}`;
      writeFileSync(node.target.sourcePath + name, docker(words(lines)));
    });
  };
  const prints = (lines: string): void => {
    appendFileSync(node.target.sourcePath, docker(words(lines)));
  };
  /** As a restarted Dockline does. */
  async function resume(running = false): Promise<void> {
    const logs = node.make({ resumes: true });
    await logs.resume([{ ...node.target, running }]);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    await logs.close();
    expect(openFiles(node.root)).to.deep.equal([]);
  }
  const forget = (): void => {
    rmSync(node.stateDir, { recursive: true, force: true });
  };
  /** What the log has, with a gap in few words. */
  const has = (path = node.logFile): string[] =>
    contents(path).map((text) => (text.startsWith(GAP) ? "gap" : text));

  for (const [what, log, files, expected] of [
    ["behind the last line", "1 2 3", ["1 2", "3 4 5"], "1 2 3 4 5"],
    [
      "behind the last that Docker has, whatever follows it",
      "1 2 4x 5x",
      ["1 2 3 4 5"],
      "1 2 4x 5x 3 4 5",
    ],
    ["by time, where Docker has none of the lines", "3x", ["1 2", "3 4 5"], "3x 4 5"],
    ["behind the entry of the same time, where Docker has nothing older", "3x", ["3 4"], "3x 4"],
    ["by time of the stream", "3x 5ex", ["1 2 3e", "4 5e 6"], "3x 5ex 4 5e 6"],
    ["by the newest time for a stream without lines", "3x", ["1 2e", "3e 4"], "3x 3e 4"],
    ["with a gap, where Docker has only what came later", "1 2 3", ["6 7", "8"], "1 2 3 gap 6 7 8"],
    ["at the end, where Docker has only what came before", "4 5 6", ["1 2", "3"], "4 5 6"],
    ["with nothing, where Docker's file is empty", "1 2", [""], "1 2"],
    ["with nothing, where Docker has no file", "1 2", [], "1 2"],
    ["at the beginning, where the log has no line", "", ["1 2", "3"], "1 2 3"],
  ] as const)
    it(`goes on ${what}`, async () => {
      writeFileSync(node.logFile, written(words(log)));
      dockerHas(...files);
      await resume();
      expect(has()).to.deep.equal(words(expected));
      await resume();
      expect(has()).to.deep.equal(words(expected));
    });

  for (const [what, log, entries, expected] of [
    [
      "several lines of one time",
      [
        ["3", "a"],
        ["3", "b"],
      ],
      [
        ["2", "-"],
        ["3", "c"],
        ["4", "d"],
      ],
      ["a", "b", "c", "d"],
    ],
    [
      "several entries of one time",
      [["3", "a"]],
      [
        ["2", "-"],
        ["3", "b"],
        ["3", "c"],
        ["4", "d"],
      ],
      ["a", "b", "c", "d"],
    ],
    [
      "entries of one time alone",
      [["3", "a"]],
      [
        ["3", "b"],
        ["3", "c"],
      ],
      ["a", "gap", "b", "c"],
    ],
    [
      "a line that a power cut spoiled",
      [["3", "a\0\0"]],
      [
        ["2", "-"],
        ["3", "ab"],
      ],
      ["a\0\0", "ab"],
    ],
  ] as const)
    it(`takes no entry for written by its time that may be another one: ${what}`, async () => {
      const lines = log.map(([second, text]) => `${timeOf(second)} stdout F ${text}\n`);
      writeFileSync(node.logFile, lines.join(""));
      const docked = entries.map(([second, text]) =>
        entry(Buffer.from(text), { time: timeOf(second) }),
      );
      writeFileSync(node.target.sourcePath, Buffer.concat(docked));
      await resume();
      expect(has()).to.deep.equal(expected);
    });

  it("tells a gap once, also where it was written before the position could be saved", async () => {
    writeFileSync(node.logFile, written(["1", "2"]));
    const out = new LineBuffer(0);
    appendGap(out, BigInt(Date.now()) * 1_000_000n, 0);
    appendFileSync(node.logFile, out.view());
    dockerHas("6 7");
    await resume();
    expect(has()).to.deep.equal(["1", "2", "gap", "6", "7"]);
    forget();
    prints("8");
    await resume();
    expect(has()).to.deep.equal(["1", "2", "gap", "6", "7", "8"]);
  });

  for (const [what, bytes, parts, there] of [
    ["few", 4, 6, 3],
    ["many", 16 * 1024, 40, 23],
  ] as const)
    it(`tells ${what} equal parts of one long line apart by their number`, async () => {
      const time = timeOf("5");
      const part = "y".repeat(bytes);
      const docked = entry(Buffer.from(part), { partial: true, time });
      writeFileSync(node.logFile, written(["3", "4"]) + `${time} stdout P ${part}\n`.repeat(there));
      const parted = Array.from({ length: parts }, () => docked);
      const end = entry(Buffer.from("end"), { time });
      writeFileSync(
        node.target.sourcePath,
        Buffer.concat([docker(["3", "4"]), ...parted, end, docker(["6"])]),
      );
      await resume();
      expect(has()).to.deep.equal([
        ...["3", "4"],
        ...Array.from({ length: parts }, () => part),
        ...["end", "6"],
      ]);
    });

  for (const [what, tail] of [
    ["a few NULs", "\0".repeat(100)],
    ["many NULs", "\0".repeat(700_000)],
    ["half a line and NULs", `${timeOf("3")} stdout F ${"\0".repeat(4096)}`],
    ["half a line", `${timeOf("3")} std`],
  ] as const)
    it(`goes on in place of ${what} at the log's end`, async () => {
      writeFileSync(node.logFile, written(["1", "2"]) + tail);
      dockerHas("1 2 3", "4");
      await resume();
      expect(readFileSync(node.logFile, "latin1")).to.equal(written(["1", "2", "3", "4"]));
    });

  it("of another container that ended in NULs gets the first line of a new one on its own", async () => {
    writeFileSync(node.logFile, `${written(["1"])}${"\0".repeat(512)}`);
    dockerHas("2");
    const logs = node.make();
    await logs.start(node.target);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    expect(readFileSync(node.logFile, "latin1")).to.equal(written(["1", "2"]));
  });

  it("goes on behind a line that was appended to NULs", async () => {
    writeFileSync(node.logFile, `${written(["1"])}${"\0".repeat(512)}${written(["2", "3"])}`);
    dockerHas("1 2 3 4");
    await resume();
    expect(has().slice(-2)).to.deep.equal(["3", "4"]);
    expect(contents(node.logFile)).to.have.lengthOf(4);
  });

  describe("that the kubelet has just renamed", () => {
    const old = (suffix: string): string => `${node.logFile}.${suffix}`;
    beforeEach(() => {
      dockerHas("1 2 3", "4 5 6 7");
      writeFileSync(node.logFile, "");
    });
    for (const [what, files, expected] of [
      ["goes on behind the renamed file's last line", { "20260102-030406": "1 2 3 4" }, "5 6 7"],
      [
        "takes the newest by name",
        { "20260102-030406": "4 5", "20260102-030405.gz": "1 2 3" },
        "6 7",
      ],
      ["reads a compressed one", { "20260102-030406.gz": "1 2 3 4 5" }, "6 7"],
      [
        "takes the one before, where the newest has no line",
        { "20260102-030407": "", "20260102-030406": "1 2 3 4" },
        "5 6 7",
      ],
      [
        "takes no file with another name",
        { bak: "1 2 3 4 5", "20260102-030406.tmp": "1 2", "20260102-030405": "1 2 3 4" },
        "5 6 7",
      ],
    ] as const)
      it(what, async () => {
        for (const [suffix, lines] of Object.entries(files)) {
          const text = written(words(lines));
          writeFileSync(old(suffix), suffix.endsWith(".gz") ? gzipSync(text) : text);
        }
        await resume();
        expect(has()).to.deep.equal(words(expected));
      });

    it("passes a damaged compressed file over", async () => {
      writeFileSync(old("20260102-030406.gz"), gzipSync(written(["1", "2", "3"])).subarray(0, 25));
      writeFileSync(old("20260102-030405"), written(["1", "2"]));
      await resume();
      expect(has()).to.deep.equal(["3", "4", "5", "6", "7"]);
    });

    it("keeps the end of a long compressed file", async () => {
      const lines = Array.from({ length: 60_000 }, (_, i) => `9 ${String(i)} ${"v".repeat(60)}`);
      const log = lines.slice(0, 59_990);
      const time = timeOf("9");
      const zipped = gzipSync(log.map((line) => `${time} stdout F ${line}\n`).join(""));
      writeFileSync(old("20260102-030406.gz"), zipped);
      for (const path of [node.target.sourcePath, `${node.target.sourcePath}.1`]) rmSync(path);
      const entries = lines.map((line) => entry(Buffer.from(line), { time }));
      writeFileSync(node.target.sourcePath, Buffer.concat(entries));
      await resume();
      expect(has()).to.deep.equal(lines.slice(59_990));
    });
  });

  describe("and that is gone", () => {
    beforeEach(() => {
      dockerHas("1 2 3", "4 5");
      rmSync(dirname(node.logFile), { recursive: true });
    });
    it("is made for a container that runs, with its folder, and followed", async () => {
      const logs = node.make({ resumes: true });
      await logs.resume([{ ...node.target, running: true }]);
      expect(statSync(node.logFile).mode & 0o777).to.equal(0o640);
      await logs.reopen(ID);
      prints("6");
      expect(await logs.drain(ID, 20_000)).to.equal(true);
      expect(has()).to.deep.equal(["1", "2", "3", "4", "5", "6"]);
    });
    it("goes on behind what the kubelet renamed", async () => {
      mkdirSync(dirname(node.logFile));
      writeFileSync(`${node.logFile}.20260102-030406`, written(["1", "2", "3"]));
      await resume(true);
      expect(has()).to.deep.equal(["4", "5"]);
    });
    it("is not made for one that has exited", async () => {
      await resume(false);
      expect(existsSync(dirname(node.logFile))).to.equal(false);
    });
    it("is not written twice by a start that is repeated before the resume", async () => {
      mkdirSync(dirname(node.logFile));
      writeFileSync(node.logFile, written(["1", "2", "3"]));
      const logs = node.make({ resumes: true });
      await logs.start({ ...node.target, running: true });
      await logs.resume([{ ...node.target, running: true }]);
      expect(await logs.drain(ID, 20_000)).to.equal(true);
      expect(has()).to.deep.equal(["1", "2", "3", "4", "5"]);
    });
  });

  it("is gone on with as soon as it can be, when it could not at first", async () => {
    dockerHas("1 2 3");
    rmSync(dirname(node.logFile), { recursive: true });
    writeFileSync(dirname(node.logFile), "in the way");
    const logs = node.make({ resumes: true });
    await logs.resume([{ ...node.target, running: true }]);
    expect(await logs.drain(ID, 50)).to.equal(false);
    rmSync(dirname(node.logFile));
    await logs.reopen(ID);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    expect(has()).to.deep.equal(["1", "2", "3"]);
  });
});
