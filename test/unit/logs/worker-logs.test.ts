import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import type { ContainerLogs, ResumedLog } from "../../../src/logs/container-logs.ts";
import { WorkerLogs } from "../../../src/logs/worker-logs.ts";
import { silentLogger } from "../../../src/log.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { endWorkers, type WatchedWorker } from "../../../src/sys/watched-worker.ts";
import { mountFuse, type FuseMount } from "../../support/fuse.ts";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, positionIn, rejection, until, type Node } from "./setup.ts";

describe("container logs in a thread of their own", function () {
  this.timeout(120_000);
  let node: Node;
  let said: string[];
  let workers: WatchedWorker[];
  let made: ContainerLogs[];
  const make = (mustAnswer = (): Promise<void> => Promise.resolve()): ContainerLogs => {
    const note = (_: object, msg: string): void => void said.push(msg);
    const logs = new WorkerLogs({
      stateDir: node.stateDir,
      clock: systemClock,
      log: { ...silentLogger, info: note, warn: note, error: note },
      mustAnswer,
      onWorker: (worker) => workers.push(worker),
    });
    made.push(logs);
    return logs;
  };
  const writerOf = (target: ResumedLog): JsonFileWriter => {
    mkdirSync(dirname(target.sourcePath), { recursive: true });
    return new JsonFileWriter(target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
  };
  /** A further container, whose log is at `logDirectory`. */
  const another = (letter: string, logDirectory = node.target.logDirectory): ResumedLog => {
    const id = letter.repeat(64);
    return {
      ...{ containerId: id, logDirectory, logPath: "sub/file", format: "cri", running: true },
      sourcePath: join(node.root, "docker", "containers", id, `${id}-json.log`),
    };
  };
  const pathOf = ({ logDirectory, logPath }: ResumedLog): string => join(logDirectory, logPath);
  const hasLines = (target: ResumedLog, count: number): boolean =>
    existsSync(pathOf(target)) && linesOf(target).length >= count;
  /** Without the line that a file on the disk that hangs begins with. */
  const linesOf = (target: ResumedLog): string[] =>
    contents(pathOf(target)).filter((line) => line !== "");

  beforeEach(() => {
    node = makeNode();
    said = [];
    workers = [];
    made = [];
  });
  afterEach(async () => {
    for (const logs of made) await logs.close();
    await node.cleanUp();
  });

  it("keep what they promise in this one", async () => {
    const logs = make();
    await logs.resume([]);
    const writer = writerOf(node.target);
    await logs.start(node.target);
    writer.line("one");
    await until("line one", () => hasLines(node.target, 1), 20_000);
    await logs.reopen(ID);
    writer.line("two");
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["one", "two"]);
    await until("the figures", () => logs.lag().pumpedBytes > 0n, 20_000);
    expect((await rejection(logs.reopen("unknown"))).kind).to.equal("NotFound");
    const outside = { ...another("b"), logPath: "../x" };
    expect((await rejection(logs.start(outside))).kind).to.equal("InvalidArgument");
    await logs.remove(ID);
    expect((await rejection(logs.reopen(ID))).kind).to.equal("NotFound");
    await logs.close();
    expect(workers).to.have.lengthOf(1);
    writer.close();
  });

  it("are complete only once they have been resumed, and go on where another process was", async () => {
    const writer = writerOf(node.target);
    const first = make();
    await first.resume([]);
    await first.start(node.target);
    writer.line("one");
    await until("line one", () => hasLines(node.target, 1), 20_000);
    await first.close();
    writer.line("two");
    let answers = false;
    const second = make(() =>
      answers ? Promise.resolve() : Promise.reject(new Error("no answer")),
    );
    expect(await second.drain(ID, 50)).to.equal(false);
    await second.resume([node.target]);
    expect(await second.drain(ID, 50)).to.equal(false);
    answers = true;
    expect(await second.drain(ID, 20_000)).to.equal(true);
    expect(contents(node.logFile)).to.deep.equal(["one", "two"]);
    writer.close();
  });

  it("go on in another thread when theirs ends, with every line once", async () => {
    const logs = make();
    const others = [another("b"), another("c", join(node.root, "c"))];
    const writers = [node.target, ...others].map(writerOf);
    await logs.resume([]);
    for (const target of [node.target, ...others]) await logs.start(target);
    let printed = 0;
    const print = (): void => {
      for (const writer of writers) writer.line(`${String(printed)} ${"p".repeat(300)}`);
      printed += 1;
    };
    for (let death = 1; death <= 3; death += 1) {
      for (let i = 0; i < 200; i += 1) print();
      await until("some of it", () => hasLines(node.target, printed - 100), 20_000);
      const ended = workers.at(-1)?.whenEnded;
      void workers.at(-1)?.end(0);
      // Asked of the thread that ends, or of the next.
      const reopened = logs.reopen(ID);
      print();
      await ended;
      await reopened;
      await until("another thread", () => workers.length > death, 20_000);
    }
    print();
    const ids = [node.target, ...others].map((target) => target.containerId);
    expect(await Promise.all(ids.map((id) => logs.drain(id, 20_000)))).to.deep.equal(
      ids.map(() => true),
    );
    for (const target of [node.target, ...others])
      expect(contents(pathOf(target)).map((line) => Number.parseInt(line, 10))).to.deep.equal(
        Array.from({ length: printed }, (_, i) => i),
      );
    expect(said).to.include("the thread of container logs ended and is started again");
    for (const writer of writers) writer.close();
  });

  describe("on a disk that hangs", () => {
    let fuse: FuseMount;
    const dead = (...names: string[]): string => join(node.root, "dead", ...names);
    beforeEach(async function () {
      mkdirSync(dead());
      try {
        fuse = await mountFuse(dead());
      } catch {
        process.stdout.write("      skipped: FUSE can't be mounted here, which takes root\n");
        this.skip();
      }
    });
    afterEach(async () => {
      await fuse.close();
      for (const logs of made.splice(0)) await logs.close();
      for (const worker of workers) await worker.whenEnded;
    });

    it("wait, and those on other disks go on in another thread, until it answers", async () => {
      const logs = make();
      const there = [another("d", dead("one")), another("e", dead("two"))];
      const targets = [node.target, ...there];
      const writers = targets.map(writerOf);
      const print = (line: string): void => {
        for (const writer of writers) writer.line(line);
      };
      await logs.resume([]);
      for (const target of targets) await logs.start(target);
      print("1");
      await until("line 1", () => targets.every((target) => hasLines(target, 1)), 20_000);

      fuse.hang();
      print("2");
      await until("a second thread", () => workers.length === 2, 40_000);
      expect(logs.lag().hung).to.deep.equal([dead()]);
      print("3");
      await until("line 3", () => hasLines(node.target, 3), 20_000);
      const [one = "", two = ""] = there.map((target) => target.containerId);
      expect(await logs.drain(one, 50)).to.equal(false);
      expect((await rejection(logs.reopen(one))).message).to.include(dead());
      expect((await rejection(logs.start(another("f", dead("x"))))).kind).to.equal("Unavailable");
      // Needs none of its files.
      await logs.remove(two);
      expect(await logs.drain(ID, 20_000)).to.equal(true);
      expect(contents(node.logFile)).to.deep.equal(["1", "2", "3"]);

      const drained = logs.drain(one, 60_000);
      fuse.resume();
      expect(await drained).to.equal(true);
      expect(linesOf(there[0] as ResumedLog)).to.deep.equal(["1", "2", "3"]);
      expect(logs.lag().hung).to.deep.equal([]);
      expect(said.filter((msg) => msg.includes("has not answered for 10 s"))).to.have.lengthOf(1);
      expect(said).to.include("the file system of container logs answers");
      for (const writer of writers) writer.close();
    });

    it("are not started by one thread after the other", async () => {
      const logs = make();
      await logs.resume([]);
      await logs.start(node.target);
      fuse.hang();
      const there = another("d", dead("one"));
      const began = performance.now();
      const error = await rejection(logs.start(there));
      expect(error.kind).to.equal("Unavailable");
      expect(error.message).to.include(dead());
      expect(performance.now() - began).to.be.lessThan(20_000);
      await logs.reopen(ID);
      expect(workers).to.have.lengthOf(2);
      fuse.resume();
      await until("an answer", () => logs.lag().hung.length === 0, 20_000);
      await logs.start(there);
      expect(await logs.drain(there.containerId, 20_000)).to.equal(true);
    });

    it("close within seconds although a thread hangs", async () => {
      const logs = make();
      const there = another("d", dead("one"));
      const writers = [node.target, there].map(writerOf);
      await logs.resume([]);
      await logs.start(there);
      await logs.start(node.target);
      fuse.hang();
      for (const writer of writers) writer.line("1");
      expect(await logs.drain(there.containerId, 500)).to.equal(false);
      const began = performance.now();
      await logs.close();
      expect(await endWorkers(1_000)).to.equal(false);
      expect(performance.now() - began).to.be.lessThan(4_500);
      fuse.resume();
      await Promise.all(workers.map((worker) => worker.whenEnded));
      expect(await endWorkers(20_000)).to.equal(true);

      const next = make();
      await next.resume([node.target, there]);
      expect(await next.drain(there.containerId, 20_000)).to.equal(true);
      expect(linesOf(there)).to.deep.equal(["1"]);
      for (const writer of writers) writer.close();
    });
  });

  it("drop the positions of containers that are gone", async () => {
    const writer = writerOf(node.target);
    const first = make();
    await first.resume([]);
    await first.start(node.target);
    writer.line("one");
    expect(await first.drain(ID, 20_000)).to.equal(true);
    await first.close();
    const second = make();
    await second.resume([]);
    await second.close();
    expect(positionIn(node.stateDir)).to.equal('{"v":1}');
    writer.close();
  });
});
