import {
  appendFileSync,
  existsSync,
  mkdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { appendGap, LineBuffer } from "../../../src/logs/format.ts";
import { PositionJournal } from "../../../src/logs/position-journal.ts";
import { Pump } from "../../../src/logs/pump.ts";
import { createWorkspace } from "../../../src/logs/workspace.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { entry, JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, rejection, until, type Node } from "./setup.ts";

describe("pump of one container", () => {
  let node: Node;
  beforeEach(() => {
    node = makeNode();
    mkdirSync(join(node.stateDir, "logs"), { recursive: true });
  });
  afterEach(async () => {
    await node.cleanUp();
  });

  const journal = (): PositionJournal => {
    const made = new PositionJournal({
      folder: join(node.stateDir, "logs"),
      log: silentLogger,
    });
    made.open();
    return made;
  };

  it("never has more than a few megabytes that its saved position does not know", async () => {
    const positions = journal();
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 26, maxFiles: 2 });
    const lines = Buffer.concat(Array.from({ length: 500 }, () => entry(Buffer.alloc(2000, 0x61))));
    for (let i = 0; i < 20; i += 1) writer.write(lines);
    const pump = new Pump(node.target, {
      clock: systemClock,
      log: silentLogger,
      positions,
      counts: { pumpedBytes: 0n, lostBytes: 0n, unreadable: 0 },
      mostUnlinkedBytes: 1 << 26,
      touch: () => undefined,
    });
    await pump.open({ resumes: false, running: true });
    const space = createWorkspace();
    let done = 0;
    for (let atEnd = false; !atEnd;) {
      const round = pump.round(space);
      atEnd = round.atEnd;
      done += round.bytes;
      const saved = positions.load(ID);
      expect(done - (saved?.source?.offset ?? 0)).to.be.lessThan(7_000_000);
    }
    expect(done).to.equal(lines.length * 20);
    pump.close();
    const saved = positions.load(ID);
    expect(saved?.source?.offset).to.equal(done);
    expect(saved?.target.length).to.be.greaterThan(20_000_000);
    writer.close();
  });

  it("goes on in the files that Docker rotates away while the place is looked for", async () => {
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 3_000_000, maxFiles: 3 });
    let printed = 0;
    const print = (count: number): void => {
      for (const end = printed + count; printed < end; printed += 1)
        writer.line(`${String(printed)} ${"x".repeat(900)}`);
    };
    print(8000);
    mkdirSync(dirname(node.logFile), { recursive: true });
    const time = "2026-01-02T03:04:05.123456789Z";
    writeFileSync(node.logFile, `${time} stdout F 5000 ${"x".repeat(900)}\n`);
    const pump = new Pump(node.target, {
      clock: systemClock,
      log: silentLogger,
      positions: journal(),
      counts: { pumpedBytes: 0n, lostBytes: 0n, unreadable: 0 },
      mostUnlinkedBytes: 1 << 26,
      touch: () => undefined,
    });
    await pump.open({ resumes: true, running: true });
    const space = createWorkspace();
    pump.round(space);
    expect(contents(node.logFile)).to.have.lengthOf(1);
    for (let i = 0; i < 6; i += 1) {
      print(2000);
      pump.round(space);
    }
    while (!pump.round(space).atEnd);
    pump.close();
    expect(contents(node.logFile).map((line) => Number.parseInt(line, 10))).to.deep.equal(
      Array.from({ length: printed - 5000 }, (_, i) => 5000 + i),
    );
    writer.close();
  });

  for (const [what, change, expected] of [
    ["behind its last line", () => undefined, ["0", "1", "2", "3", "4", "5"]],
    [
      "in place of half a line",
      (log: string) => truncateSync(log, statSync(log).size - 3),
      ["0", "1", "2", "3", "4", "5"],
    ],
    [
      "behind the last line of Docker's, where a gap was reported after it",
      (log: string) => {
        const out = new LineBuffer(0);
        appendGap(out, 1n, 7);
        appendFileSync(log, out.view());
      },
      ["0", "1", "2", "dockline: at least 7 bytes", "3", "4", "5"],
    ],
    [
      "behind the last line of Docker's, where another one follows it",
      (log: string) => appendFileSync(log, "2026-01-01T00:00:00Z stdout F other\n"),
      ["0", "1", "2", "other", "3", "4", "5"],
    ],
    [
      "from the beginning in an empty log",
      (log: string) => truncateSync(log, 0),
      ["0", "1", "2", "3", "4", "5"],
    ],
  ] as const)
    it(`goes on without a position ${what}`, async () => {
      const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 200, maxFiles: 9 });
      const first = node.make();
      await first.start(node.target);
      for (const line of ["0", "1", "2"]) writer.line(line);
      await until("three lines", () => contents(node.logFile).length === 3);
      await first.close();
      rmSync(node.stateDir, { recursive: true });
      change(node.logFile);
      for (const line of ["3", "4"]) writer.line(line);

      const logs = node.make({ resumes: true });
      await logs.resume([node.target]);
      writer.line("5");
      expect(await logs.drain(ID, 2000)).to.equal(true);
      const seen = contents(node.logFile);
      expect(seen.length).to.equal(expected.length);
      expected.forEach((start, at) => expect(seen[at]?.slice(0, start.length)).to.equal(start));
      await logs.reopen(ID);
      await logs.close();

      const later = node.make({ resumes: true });
      await later.resume([node.target]);
      expect(await later.drain(ID, 2000)).to.equal(true);
      expect(contents(node.logFile)).to.deep.equal(seen);
      writer.close();
    });

  it("makes no log for a container without one", async () => {
    const logs = node.make({ resumes: true });
    await logs.resume([node.target]);
    expect(existsSync(node.logFile)).to.equal(false);
    expect((await rejection(logs.reopen(ID))).kind).to.equal("NotFound");
  });
});
