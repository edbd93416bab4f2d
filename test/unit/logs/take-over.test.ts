import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import type { ResumedLog } from "../../../src/logs/container-logs.ts";
import { WorkerLogs } from "../../../src/logs/worker-logs.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import type { WatchedWorker } from "../../../src/sys/watched-worker.ts";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, ID, makeNode, until, type Node } from "./setup.ts";

describe("container logs whose journal can not be read", function () {
  this.timeout(60_000);
  const failure = "container logs can not be gone on with, will be tried again";
  let node: Node;
  let errors: string[];
  let workers: WatchedWorker[];
  let logs: WorkerLogs;
  const journal = (): string => join(node.stateDir, "logs", "positions.journal");
  const kept = (): string => `${journal()}-kept`;
  const breakJournal = (): void => {
    // There is none after an end that was no kill.
    if (existsSync(journal())) renameSync(journal(), kept());
    mkdirSync(journal(), { recursive: true });
  };
  const repairJournal = (): void => {
    rmSync(journal(), { recursive: true });
    if (existsSync(kept())) renameSync(kept(), journal());
  };
  const make = (): WorkerLogs =>
    new WorkerLogs({
      stateDir: node.stateDir,
      clock: systemClock,
      log: { ...silentLogger, error: (_, msg) => void errors.push(msg) },
      mustAnswer: () => Promise.resolve(),
      onWorker: (worker) => workers.push(worker),
    });
  const docker = (): JsonFileWriter => {
    mkdirSync(dirname(node.target.sourcePath), { recursive: true });
    return new JsonFileWriter(node.target.sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
  };
  beforeEach(() => {
    node = makeNode();
    [errors, workers] = [[], []];
    logs = make();
  });
  afterEach(async () => {
    await logs.close();
    await node.cleanUp();
  });

  it("go on in another thread once it can", async () => {
    const writer = docker();
    await logs.resume([]);
    await logs.start(node.target);
    writer.line("one");
    await until("line one", () => contents(node.logFile).length === 1, 20_000);
    breakJournal();
    void workers[0]?.end(0);
    await until("a failure", () => errors.includes(failure), 20_000);
    repairJournal();
    writer.line("two");
    await until("line two", () => contents(node.logFile).length === 2, 20_000);
    expect(contents(node.logFile)).to.deep.equal(["one", "two"]);
    writer.close();
  });

  it("do not keep Dockline from serving", async () => {
    await logs.begun(20_000);
    await logs.close();
    breakJournal();
    logs = make();
    await logs.begun(20_000);
    expect(errors).to.deep.equal([failure]);
    repairJournal();
    await logs.resume([]);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
  });

  it("are not gone on with for containers that were removed meanwhile", async () => {
    const writer = docker();
    writer.line("one");
    const running: ResumedLog = { ...node.target, running: true };
    const started = logs.start(running);
    await logs.remove(ID);
    await started;
    rmSync(node.logFile);
    // From a list that was made before.
    await logs.resume([running]);
    const ended = workers[0]?.whenEnded;
    void workers[0]?.end(0);
    await ended;
    await until("another thread", () => workers.length === 2, 20_000);
    expect(await logs.drain(ID, 20_000)).to.equal(true);
    expect(logs.lag().containers).to.equal(0);
    expect(() => contents(node.logFile)).to.throw("ENOENT");
    writer.close();
  });
});
