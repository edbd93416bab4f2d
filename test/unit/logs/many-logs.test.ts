import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import type { LogTarget } from "../../../src/logs/container-logs.ts";
import { Pumps } from "../../../src/logs/pumps.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { JsonFileWriter } from "./json-file-writer.ts";
import { contents, makeNode, until, type Node } from "./setup.ts";

describe("the logs of many containers", () => {
  let node: Node;
  let logs: Pumps;
  let targets: LogTarget[];
  let writers: JsonFileWriter[];
  /** Milliseconds that each look at the clock takes. */
  let lookMs: number;
  beforeEach(async () => {
    node = makeNode();
    lookMs = 0;
    let nowMs = 0;
    const clock = {
      ...systemClock,
      monotonicMs: () => {
        nowMs += lookMs;
        return systemClock.monotonicMs() + nowMs;
      },
    };
    logs = new Pumps({ stateDir: node.stateDir, clock, log: silentLogger });
    targets = Array.from({ length: 12 }, (_, at) => {
      const id = String(at).padStart(64, "e");
      return {
        ...{ containerId: id, logDirectory: join(node.root, "pods", id), logPath: "0.log" },
        ...{ sourcePath: join(node.root, "docker", id, `${id}-json.log`), format: "cri" },
      };
    });
    writers = targets.map(({ sourcePath }) => {
      mkdirSync(dirname(sourcePath), { recursive: true });
      return new JsonFileWriter(sourcePath, { maxSize: 1 << 24, maxFiles: 4 });
    });
    for (const target of targets) await logs.start(target);
  });
  afterEach(async () => {
    for (const writer of writers) writer.close();
    await logs.close();
    await node.cleanUp();
  });

  it("have their turns, though there is time for one of them only before others are heard", async () => {
    lookMs = 60;
    const last = new Map<string, number>();
    let printed = 0;
    const hasAll = (): boolean => {
      for (const writer of writers) writer.line(String(printed));
      printed += 1;
      for (const { containerId, logDirectory } of targets)
        last.set(containerId, contents(join(logDirectory, "0.log")).length);
      return [...last.values()].every((lines) => lines > 20);
    };
    await until("each has some of its lines", hasAll, 40_000);
    lookMs = 0;
    for (const { containerId, logDirectory } of targets) {
      expect(await logs.drain(containerId, 20_000)).to.equal(true);
      expect(contents(join(logDirectory, "0.log"))).to.deep.equal(
        Array.from({ length: printed }, (_, at) => String(at)),
      );
    }
  });

  it("cost no look at Docker's files while they are silent", async () => {
    const touched: string[] = [];
    const { stateDir } = node;
    const [target] = targets.map((one) => ({ ...one, logDirectory: `${one.logDirectory}-other` }));
    if (target === undefined) throw new Error("no target");
    const watched = new Pumps({
      ...{ stateDir: join(stateDir, "other"), clock: systemClock, log: silentLogger },
      touch: (path) => touched.push(path),
    });
    const seen = (path: string): number => touched.filter((one) => one === path).length;
    try {
      await watched.start(target);
      let looks = 0;
      let before = 0;
      // Whether the log is still there is looked at; a look at the source starts the count again.
      const twice = (): boolean => {
        if (seen(target.sourcePath) !== looks) before = seen(join(target.logDirectory, "0.log"));
        looks = seen(target.sourcePath);
        return seen(join(target.logDirectory, "0.log")) >= before + 2;
      };
      await until("two sweeps", twice, 40_000);
      writers[0]?.line("1");
      const path = join(target.logDirectory, "0.log");
      await until("the line", () => contents(path).length === 1, 20_000);
    } finally {
      await watched.close();
    }
  });
});
