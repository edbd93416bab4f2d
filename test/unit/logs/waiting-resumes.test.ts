import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { ResumedLog } from "../../../src/logs/container-logs.ts";
import { silentLogger } from "../../../src/log.ts";
import { Pumps } from "../../../src/logs/pumps.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, until, type Node } from "./setup.ts";

/** inotify watches of this process (proc(5)). */
const watches = (): number =>
  readdirSync("/proc/self/fdinfo").reduce((sum, fd) => {
    try {
      const lines = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").split("\n");
      return sum + lines.filter((line) => line.startsWith("inotify ")).length;
    } catch {
      return sum;
    }
  }, 0);

describe("container logs that are gone on with", () => {
  let node: Node;
  let answer: Map<string, (error?: Error) => void>;
  const mustAnswer = (folder: string): Promise<void> =>
    new Promise((resolve, reject) => {
      answer.set(folder, (error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  const another = (): ResumedLog => ({
    ...{ ...node.target, containerId: "b".repeat(64), running: true },
    logDirectory: join(node.root, "pods", "other"),
  });
  beforeEach(() => {
    node = makeNode();
    answer = new Map();
  });
  afterEach(async () => {
    await node.cleanUp();
  });

  it("do not wait for the folders of others", async () => {
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
    const logs = node.make({ resumes: true, mustAnswer });
    const [here, there] = [{ ...node.target, running: true }, another()];
    const resumed = logs.resume([there, here]);
    answer.get(here.logDirectory)?.();
    writer.line("one");
    await until("the line", () => existsSync(node.logFile) && contents(node.logFile).length === 1);
    expect(await logs.drain(ID, 2000)).to.equal(true);
    await logs.reopen(ID);
    expect(await logs.drain(there.containerId, 20)).to.equal(false);
    answer.get(there.logDirectory)?.();
    await resumed;
    expect(await logs.drain(there.containerId, 2000)).to.equal(true);
    writer.close();
  });

  for (const [what, error] of [
    ["answers", undefined],
    ["does not", new Error("no answer")],
  ] as const)
    it(`are not those of a container that is removed before its folder ${what}`, async () => {
      const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
        systemClock.sleep(ms / 100, signal);
      const logs = new Pumps({
        ...{ stateDir: node.stateDir, clock: { ...systemClock, sleep }, log: silentLogger },
        ...{ resumes: true, mustAnswer },
      });
      const there = another();
      const resumed = logs.resume([there]);
      // Waits for the folder, though not without end.
      await logs.remove(there.containerId);
      answer.get(there.logDirectory)?.(error);
      await resumed;
      expect(logs.lag().containers).to.equal(0);
      expect(await logs.drain(there.containerId, 2000)).to.equal(true);
      expect(existsSync(there.logDirectory)).to.equal(false);
      await logs.close();
    });

  it("say which file they close last, were closing to hang", async () => {
    const touched: string[] = [];
    const logs = new Pumps({
      ...{ stateDir: node.stateDir, clock: systemClock, log: silentLogger },
      touch: (path) => touched.push(path),
    });
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
    await logs.start(node.target);
    writer.line("one");
    expect(await logs.drain(ID, 2000)).to.equal(true);
    expect(touched.slice(-2)).to.deep.equal([node.target.sourcePath, node.logFile]);
    await logs.reopen(ID);
    expect(touched.at(-1)).to.equal(node.logFile);
    await logs.close();
    // The journal comes after all logs.
    const journal = join(node.stateDir, "logs", "positions.journal");
    expect(touched.slice(-2)).to.deep.equal([node.logFile, journal]);
    writer.close();
  });

  it("leave no watch when their container printed right before it exited", async () => {
    const writer = new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
    const before = watches();
    const logs = node.make();
    for (let round = 0; round < 10; round += 1) {
      await logs.start(node.target);
      writer.line(String(round));
      await until("a look", () => contents(node.logFile).length > 0);
      for (let line = 0; line < 40; line += 1) writer.line(String(line));
      await new Promise((resolve) => setTimeout(resolve, round));
      expect(await logs.drain(ID, 4000)).to.equal(true);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(watches()).to.equal(before);
    writer.close();
  });
});
