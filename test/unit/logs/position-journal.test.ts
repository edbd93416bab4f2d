import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { PositionJournal } from "../../../src/logs/position-journal.ts";
import type { Position } from "../../../src/logs/position.ts";

const at = (length: number): Position => ({
  source: { ino: "12", offset: length, size: length, mark: "bWFyaw==" },
  target: { ino: "34", length },
  drained: false,
});

describe("the journal of log positions", () => {
  let root: string;
  let folder: string;
  let path: string;
  let opened: PositionJournal[];
  const open = (): PositionJournal => {
    const journal = new PositionJournal({ folder, log: silentLogger });
    journal.open();
    opened.push(journal);
    return journal;
  };
  /** As another process finds it, whatever the one before did at its end. */
  const found = (): Record<string, number> => {
    const journal = open();
    const lengths = journal.list().map((id) => [id, journal.load(id)?.target.length ?? -1]);
    return Object.fromEntries(lengths) as Record<string, number>;
  };
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "dockline-journal-"));
    folder = join(root, "logs");
    path = join(folder, "positions.journal");
    opened = [];
  });
  afterEach(() => {
    for (const journal of opened) journal.close();
    rmSync(root, { recursive: true, force: true });
  });

  it("is a file for each container once it is closed, for an older release, and a journal again then", () => {
    const journal = open();
    journal.save("a", at(1));
    journal.save("b", { ...at(2), drained: true });
    journal.close();
    expect(readdirSync(folder).sort()).to.deep.equal(["a.json", "b.json"]);
    const written: unknown = JSON.parse(readFileSync(join(folder, "b.json"), "utf8"));
    expect(written).to.deep.equal({ v: 1, ...at(2), drained: true });
    expect(found()).to.deep.equal({ a: 1, b: 2 });
    expect(readdirSync(folder)).to.deep.equal(["positions.journal"]);
  });

  it("has the last position of each container, in a file for root alone", () => {
    const journal = open();
    journal.save("a", at(1));
    journal.save("b", at(2));
    journal.save("a", at(3));
    journal.save("c", { ...at(4), source: null, drained: true });
    journal.forget("b");
    journal.forget("unknown");
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    expect(statSync(folder).mode & 0o777).to.equal(0o700);
    const next = open();
    expect(next.list().sort()).to.deep.equal(["a", "c"]);
    expect(next.load("a")).to.deep.equal(at(3));
    expect(next.load("c")).to.deep.equal({ ...at(4), source: null, drained: true });
    expect(readdirSync(folder)).to.deep.equal(["positions.journal"]);
  });

  it("writes what belongs together at once, and nothing where nothing changed", () => {
    const journal = open();
    journal.batch(() => {
      for (let i = 0; i < 10; i += 1) journal.save(String(i), at(i));
      expect(readFileSync(path, "utf8")).to.equal('{"v":1}\n');
    });
    expect(readFileSync(path, "utf8").split("\n")).to.have.lengthOf(12);
    const { size } = statSync(path);
    journal.batch(() => undefined);
    expect(statSync(path).size).to.equal(size);
  });

  it("is read up to the line that a kill or a power cut left half", () => {
    open().save("a", at(1));
    for (const left of [
      '{"id":"a","sour',
      "\0\0\0\0",
      'null\n7\n"x"\n{"id":3}\n{"id":"a","v":9}\n',
    ]) {
      appendFileSync(path, left);
      expect(found()).to.deep.equal({ a: 1 });
      expect(readFileSync(path, "utf8").split("\n")).to.have.lengthOf(3);
    }
  });

  it("does not grow without end", () => {
    const journal = open();
    let most = 0;
    for (let i = 0; i < 20_000; i += 1) {
      journal.save(`c${String(i % 20)}`, at(i));
      most = Math.max(most, statSync(path).size);
    }
    expect(most).to.be.lessThan(400_000);
    expect(Object.values(found())).to.have.members(
      Array.from({ length: 20 }, (_, i) => 19_980 + i),
    );
  });

  it("is not written any more by a thread that was given up once another has opened it", () => {
    const old = open();
    old.save("a", at(1));
    const next = open();
    next.save("a", at(5));
    old.save("a", at(2));
    old.save("b", at(2));
    expect(found()).to.deep.equal({ a: 5 });
  });

  it("is not replaced by a thread that was given up while it wrote", () => {
    open().save("a", at(1));
    let next: PositionJournal | undefined;
    const touch = (): void => {
      // Between the file that it has written and its renaming.
      const isWritten = readdirSync(folder).some((name) => name.endsWith(".tmp"));
      if (!isWritten || next !== undefined) return;
      next = open();
      next.save("a", at(5));
      throw new Error("ends here");
    };
    const old = new PositionJournal({ folder, log: silentLogger, touch });
    opened.push(old);
    old.open();
    expect(found()).to.deep.equal({ a: 5 });
  });

  it("leaves nothing of what a process did not write to its end", () => {
    mkdirSync(folder, { recursive: true });
    for (const name of ["positions.journal.tmp", "positions.journal.7-1.tmp"])
      writeFileSync(join(folder, name), "half");
    open();
    expect(readdirSync(folder)).to.deep.equal(["positions.journal"]);
  });

  it("takes over the files of an older release, which are newer than it, and removes them", () => {
    open().save("a", at(1));
    const old = (id: string, text: string): void => writeFileSync(join(folder, `${id}.json`), text);
    // After a way back to that release.
    old("a", JSON.stringify({ v: 1, ...at(7) }));
    old("b", JSON.stringify({ v: 1, ...at(8) }));
    old("c", '{"v":1,"source":');
    writeFileSync(join(folder, "d.json.tmp"), "");
    expect(found()).to.deep.equal({ a: 7, b: 8 });
    expect(readdirSync(folder)).to.deep.equal(["positions.journal"]);
    expect(found()).to.deep.equal({ a: 7, b: 8 });
  });

  it("of a newer release is left alone", () => {
    open();
    const newer = '{"v":2}\n{"id":"a","where":"elsewhere"}\n';
    writeFileSync(path, newer);
    const journal = open();
    expect(journal.list()).to.deep.equal([]);
    journal.save("a", at(1));
    expect(journal.load("a")).to.deep.equal(at(1));
    expect(readFileSync(path, "utf8")).to.equal(newer);
  });

  it("says that a position is not saved on a disk that is full, and has it once there is room", function () {
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", root]);
    if (mounted.status !== 0) {
      process.stdout.write("      skipped: a tmpfs can't be mounted here, which takes root\n");
      this.skip();
    }
    try {
      const journal = open();
      journal.save("a", at(1));
      const ballast = join(root, "ballast");
      const fill = (): void => {
        for (const bytes of [4096, 512, 1])
          try {
            for (;;) appendFileSync(ballast, Buffer.alloc(bytes));
          } catch {
            // Full.
          }
      };
      fill();
      expect(() => {
        journal.batch(() => {
          for (let i = 0; i < 100; i += 1) journal.save(`c${String(i)}`, at(i));
        });
      }).to.throw("ENOSPC");
      // A container can be removed all the same.
      journal.forget("a");
      expect(readFileSync(path, "utf8")).to.match(/^\{"v":1\}\n(\{"id":"a".*\}\n)?$/);
      rmSync(ballast);
      journal.batch(() => undefined);
      const lengths = found();
      expect(lengths).to.not.have.property("a");
      expect(Object.keys(lengths)).to.have.lengthOf(100);
    } finally {
      for (const journal of opened) journal.close();
      spawnSync("umount", ["-l", root]);
    }
  });
});
