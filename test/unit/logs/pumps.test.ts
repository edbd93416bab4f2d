import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { entry, JsonFileWriter, TruncatingWriter } from "./json-file-writer.ts";
import {
  contents,
  ID,
  makeNode,
  openFiles,
  positionIn,
  rejection,
  until,
  type Node,
} from "./setup.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("container logs", () => {
  let node: Node;
  beforeEach(() => {
    node = makeNode();
  });
  afterEach(async () => {
    await node.cleanUp();
  });
  const docker = (maxSize = 1 << 24, maxFiles = 4): JsonFileWriter =>
    new JsonFileWriter(node.target.sourcePath, { maxSize, maxFiles });

  it("makes the file at once, 0640, and follows from before the source exists", async () => {
    const logs = node.make();
    await logs.start(node.target);
    expect(statSync(node.logFile).mode & 0o777).to.equal(0o640);
    expect(statSync(dirname(node.logFile)).mode & 0o777).to.equal(0o755);
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    await logs.start(node.target);
    const writer = docker();
    writer.line("one");
    writer.write(
      entry(Buffer.from("two"), { stream: "stderr", partial: true, time: "2026-01-02T03:04:05Z" }),
    );
    expect(await logs.drain(ID, 3000)).to.equal(true);
    expect(readFileSync(node.logFile, "utf8")).to.equal(
      "2026-01-02T03:04:05.123456789Z stdout F one\n2026-01-02T03:04:05Z stderr P two\n",
    );
    expect(openFiles(node.target.logDirectory)).to.deep.equal([]);
    expect(openFiles(dirname(writer.path))).to.deep.equal([writer.path]);
    writer.close();
  });

  it("writes a line soon after Docker did, without being asked", async () => {
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    const logs = node.make();
    await logs.start(node.target);
    const writer = docker();
    for (let i = 0; i < 5; i += 1) {
      writer.line(`line ${String(i)}`);
      await until("the line", () => contents(node.logFile).length === i + 1, 1500);
      await pause(60);
    }
    expect(logs.lag()).to.deep.include({ containers: 1, bytesBehind: 0, lostBytes: 0n });
    writer.close();
  });

  it("drains a container that died before it was followed, and one that never wrote", async () => {
    const writer = docker(2000, 4);
    for (let i = 0; i < 60; i += 1) writer.line(String(i));
    writer.close();
    expect(existsSync(`${node.target.sourcePath}.1`)).to.equal(true);
    const logs = node.make();
    await logs.start(node.target);
    expect(await logs.drain(ID, 3000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(Array.from({ length: 60 }, (_, i) => String(i)));
    const silent = {
      ...node.target,
      containerId: "b".repeat(64),
      sourcePath: join(node.root, "no/x"),
      logPath: "b.log",
    };
    await logs.start(silent);
    expect(await logs.drain(silent.containerId, 1000)).to.equal(true);
    expect(await logs.drain("unknown", 1000)).to.equal(true);
  });

  it("loses nothing while Docker rotates under load", async () => {
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    const logs = node.make();
    await logs.start(node.target);
    const writer = docker(1_500_000, 4);
    const padding = "x".repeat(150);
    const count = 24_000;
    for (let i = 0; i < count; i += 1) {
      writer.line(`${String(i)} ${padding}`);
      if (i % 500 === 499) await pause(1);
    }
    expect(await logs.drain(ID, 4000)).to.equal(true);
    const got = contents(node.logFile);
    expect(got.length).to.equal(count);
    expect(got.every((line, i) => line.startsWith(`${String(i)} `))).to.equal(true);
    expect(logs.lag()).to.deep.include({ lostBytes: 0n, unreadableLines: 0n, bytesBehind: 0 });
    writer.close();
  });

  it("says in the log that lines are missing, and where", async () => {
    const first = node.make();
    await first.start(node.target);
    const writer = docker(1000, 3);
    for (let i = 0; i < 3; i += 1) writer.line(`early ${String(i)}`);
    await first.start(node.target);
    await until("the first lines", () => contents(node.logFile).length === 3);
    await first.close();
    for (let i = 0; i < 100; i += 1) writer.line(`late ${String(i)}`);
    const second = node.make();
    await second.resume([node.target]);
    expect(await second.drain(ID, 3000)).to.equal(true);
    const got = contents(node.logFile);
    expect(got.slice(0, 3)).to.deep.equal(["early 0", "early 1", "early 2"]);
    expect(got[3]).to.match(/^dockline: at least \d+ bytes of this container's output are missing/);
    expect(readFileSync(node.logFile, "utf8").split("\n")[3]).to.match(
      /^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z stderr F dockline: /,
    );
    expect(got.at(-1)).to.equal("late 99");
    expect(got.filter((line) => line.startsWith("dockline"))).to.have.lengthOf(1);
    expect(Number(second.lag().lostBytes)).to.be.greaterThan(500);
    writer.close();
  });

  it("leaves the renamed file alone after a reopen and goes on in a new one", async () => {
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    const logs = node.make();
    await logs.start(node.target);
    const writer = docker(40_000, 4);
    const rotated: string[] = [];
    for (let i = 0; i < 3000; i += 1) {
      writer.line(String(i));
      if (i % 50 === 0) await pause(2);
      if (i % 600 === 300) {
        const name = `${node.logFile}.${String(i)}`;
        renameSync(node.logFile, name);
        await logs.reopen(ID);
        expect(statSync(node.logFile).mode & 0o777).to.equal(0o640);
        rotated.push(name);
        const size = statSync(name).size;
        writer.line(`after ${String(i)}`);
        await pause(40);
        expect(statSync(name).size).to.equal(size);
      }
    }
    expect(await logs.drain(ID, 3000)).to.equal(true);
    const got = [...rotated, node.logFile].flatMap(contents);
    expect(got.filter((line) => !line.startsWith("after"))).to.deep.equal(
      Array.from({ length: 3000 }, (_, i) => String(i)),
    );
    expect(got.filter((line) => line.startsWith("after"))).to.have.lengthOf(5);
    writer.close();
  });

  it("reopens when nothing was renamed, when the file was deleted, and after a drain", async () => {
    const logs = node.make();
    const writer = docker();
    await logs.start(node.target);
    writer.line("one");
    await until("line one", () => contents(node.logFile).length === 1);
    await logs.reopen(ID);
    expect(contents(node.logFile)).to.deep.equal(["one"]);
    rmSync(node.logFile);
    await logs.reopen(ID);
    writer.line("two");
    expect(await logs.drain(ID, 2000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["two"]);
    renameSync(node.logFile, `${node.logFile}.old`);
    await logs.reopen(ID);
    expect(statSync(node.logFile).size).to.equal(0);
    expect((await rejection(logs.reopen("unknown"))).kind).to.equal("NotFound");
    writer.close();
  });

  it("goes on after a clean restart, without a byte twice, and keeps drained ones closed", async () => {
    const writer = docker(3000, 4);
    const first = node.make();
    await first.start(node.target);
    for (let i = 0; i < 20; i += 1) writer.line(String(i));
    await until("the first part", () => contents(node.logFile).length === 20);
    await first.close();
    expect(openFiles(node.root)).to.deep.equal([writer.path]);
    for (let i = 20; i < 60; i += 1) writer.line(String(i));
    const second = node.make();
    await second.resume([node.target]);
    expect(await second.drain(ID, 2000)).to.equal(true);
    await second.close();
    const third = node.make();
    await third.resume([node.target]);
    expect(third.lag().containers).to.equal(0);
    expect(await third.drain(ID, 2000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(Array.from({ length: 60 }, (_, i) => String(i)));
    writer.close();
  });

  it("never gets shorter after a kill: what is there is passed over, anything else is written again", async () => {
    const writer = docker();
    const position = join(node.stateDir, "logs", `${ID}.json`);
    const lines = Array.from({ length: 40 }, (_, i) => String(i));
    const first = node.make();
    await first.start(node.target);
    for (const line of lines.slice(0, 10)) writer.line(line);
    await until("ten lines", () => contents(node.logFile).length === 10);
    await first.close();
    const noted = positionIn(node.stateDir);
    const second = node.make();
    await second.resume([node.target]);
    for (const line of lines.slice(10, 30)) writer.line(line);
    await until("thirty lines", () => contents(node.logFile).length === 30);
    await second.close();
    const whole = readFileSync(node.logFile, "utf8");

    for (const [what, left] of [
      ["as it was", whole],
      ["with the beginning of another line", `${whole}2026-01-0`],
      ["with half a line", whole.slice(0, -7)],
      ["with something else", `${whole.slice(0, -400)}${"x".repeat(400)}`],
    ] as const) {
      // As a killed process leaves it: the log is further than the position.
      writeFileSync(position, noted);
      writeFileSync(node.logFile, left);
      const logs = node.make();
      await logs.resume([node.target]);
      expect(statSync(node.logFile).size, what).to.be.at.least(left.length - 400);
      await until(`the log ${what}`, () => readFileSync(node.logFile, "utf8").startsWith(whole));
      await logs.close();
    }
    for (const line of lines.slice(30)) writer.line(line);
    const last = node.make();
    await last.resume([node.target]);
    expect(await last.drain(ID, 2000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(lines);
    writer.close();
  });

  it("drops positions of unknown containers, resumes only known ones, forgets the removed", async () => {
    const writer = docker();
    const other = { ...node.target, containerId: "b".repeat(64), logPath: "b.log" };
    const first = node.make();
    await first.start(node.target);
    await first.start(other);
    await first.close();
    const second = node.make();
    await second.resume([node.target, { ...other, containerId: "c".repeat(64), logPath: "c.log" }]);
    expect(second.lag().containers).to.equal(1);
    expect(existsSync(join(node.root, "pods/ns_pod_uid/c.log"))).to.equal(false);
    expect(positionIn(node.stateDir)).to.include("target");
    expect(positionIn(node.stateDir, other.containerId)).to.equal('{"v":1}');
    await second.remove(ID);
    await second.remove(ID);
    expect(positionIn(node.stateDir)).to.equal('{"v":1}');
    expect(existsSync(node.logFile)).to.equal(true);
    expect(openFiles(node.target.logDirectory)).to.deep.equal([]);
    expect(openFiles(dirname(writer.path))).to.deep.equal([writer.path]);
    writer.close();
  });

  it("keeps the position of a container that was started while the others were looked for", async () => {
    const logs = node.make({ resumes: true });
    await logs.start(node.target);
    await logs.resume([]);
    expect(positionIn(node.stateDir)).to.include("target");
  });

  it("takes no log for complete before it has been resumed", async () => {
    const writer = docker();
    const first = node.make();
    await first.start(node.target);
    await first.close();
    writer.line("last words");
    const second = node.make({ resumes: true });
    expect(await second.drain(ID, 50)).to.equal(false);
    const drained = second.drain(ID, 2000);
    const reopened = second.reopen(ID);
    await second.resume([node.target]);
    await reopened;
    expect(await drained).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["last words"]);
    expect(await second.drain("d".repeat(64), 50)).to.equal(true);
    writer.close();
  });

  it("goes on later with a log whose folder does not answer at first, and holds up nobody", async () => {
    const writer = docker();
    const first = node.make();
    await first.start(node.target);
    await first.close();
    writer.line("while away");
    let isHung = true;
    const mustAnswer = (): Promise<void> =>
      isHung ? Promise.reject(new Error("no answer")) : Promise.resolve();
    const second = node.make({ resumes: true, mustAnswer });
    await second.resume([node.target]);
    expect(await second.drain(ID, 50)).to.equal(false);
    isHung = false;
    expect(await second.drain(ID, 5_000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["while away"]);
    writer.close();
  });

  it("starts over when a position is damaged", async () => {
    const writer = docker();
    writer.line("one");
    mkdirSync(join(node.stateDir, "logs"), { recursive: true });
    writeFileSync(join(node.stateDir, "logs", `${ID}.json`), '{"v":1,"source":{"ino":');
    const logs = node.make();
    await logs.start(node.target);
    expect(await logs.drain(ID, 2000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["one"]);
    writer.close();
  });

  it("passes over half entries and foreign text, and counts them", async () => {
    const writer = docker();
    writer.line("one");
    writer.write(Buffer.from('{"log":"half of an ent'));
    writer.line("two");
    writer.write(Buffer.from("no json\n\0\0\0\0"));
    writer.line("three");
    writer.write(Buffer.alloc(700_000, 0x61));
    writer.write(Buffer.from("\n"));
    writer.line("four");
    writer.write(Buffer.from('{"log":"cut off at the e'));
    const logs = node.make();
    await logs.start(node.target);
    expect(await logs.drain(ID, 2000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["one", "two", "three", "four"]);
    expect(logs.lag().unreadableLines).to.equal(6n);
    writer.close();
  });

  it("answers false when the time for draining is over, and goes on", async () => {
    const writer = docker();
    for (let i = 0; i < 40_000; i += 1) writer.line(`${String(i)} ${"y".repeat(200)}`);
    const logs = node.make();
    await logs.start(node.target);
    expect(await logs.drain(ID, 0)).to.equal(false);
    await until("the rest", () => contents(node.logFile).length === 40_000, 20_000);
    writer.close();
  });

  it("lets go of what Docker deleted in place, which max-file=1 does, and goes on", async () => {
    const logs = node.make();
    const writer = new TruncatingWriter(node.target.sourcePath);
    await logs.start(node.target);
    writer.line("before");
    await until("the first line", () => contents(node.logFile).length === 1);
    writer.empty();
    writer.line("x");
    expect(await logs.drain(ID, 2000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["before", "x"]);
    writer.close();
  });

  it("takes an id for no path", async () => {
    const logs = node.make();
    for (const containerId of ["../x", "", "a/b", "..", "a\0b"])
      expect((await rejection(logs.start({ ...node.target, containerId }))).kind).to.equal(
        "InvalidArgument",
      );
  });
});
