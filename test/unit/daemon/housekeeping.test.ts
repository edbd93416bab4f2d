import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { keepHouse } from "../../../src/daemon/housekeeping.ts";
import { silentLogger } from "../../../src/log.ts";

describe("housekeeping", () => {
  const { setInterval: realInterval } = globalThis;
  let tick: () => void;
  beforeEach(() => {
    globalThis.setInterval = ((work: () => void) => {
      tick = work;
      return undefined;
    }) as never;
  });
  afterEach(() => {
    globalThis.setInterval = realInterval;
  });

  let nowMs: number;
  let did: string[];
  beforeEach(() => {
    nowMs = 0;
    did = [];
  });

  /** What housekeeping works on: an engine that answers, and nothing in it. */
  const partsWith = (more: object): object => ({
    clock: { monotonicMs: () => nowMs },
    log: silentLogger,
    index: {
      health: { synced: true, engineReady: true },
      counters: { resyncs: 0 },
      containers: () => Promise.resolve([]),
      sandboxes: () => Promise.resolve([]),
      onChange: () => () => undefined,
    },
    views: { lookAtForeign: () => Promise.resolve() },
    netns: { settle: () => Promise.resolve(), own: { prepare: () => Promise.resolve() } },
    info: { stale: false },
    sandboxes: { settle: () => Promise.resolve(void did.push("settled")) },
    ...more,
  });
  const keepAt = async (parts: object, ...times: readonly number[]): Promise<void> => {
    const house = keepHouse(parts as never);
    for (const atMs of times) {
      nowMs = atMs;
      tick();
      for (let round = 0; round < 20; round += 1) await turn();
    }
    house.stop();
  };

  it("settles partially created pods although a sweep fails each time", async () => {
    const parts = partsWith({
      logs: { resume: () => Promise.resolve(void did.push("logs")) },
      resources: { keepOnly: () => Promise.resolve() },
      volumes: { sweep: () => Promise.reject(new Error("the folder is read-only")) },
      owed: {
        execsLeft: [{ execId: "exec", containerId: "container" }],
        limits: new Map([["container", "start"]]),
      },
      endExec: (...exec: string[]) => Promise.resolve(void did.push(exec.join(" in "))),
      owedLimits: {
        settle: () => Promise.resolve(void did.push("limits")),
        foundRunning: () => undefined,
      },
    });
    await keepAt(parts, 0, 6_000, 12_000, 31_000);
    expect(did).to.deep.equal([
      ...["exec in container", "limits", "settled", "logs"],
      ...["limits", "logs", "limits", "logs", "limits", "settled", "logs"],
    ]);
  });

  it("settles what is owed although a container's log hangs with its disk", async () => {
    const parts = partsWith({
      logs: { resume: () => new Promise(() => undefined) },
      owed: { execsLeft: [], limits: new Map() },
      owedLimits: { foundRunning: () => did.push("found") },
    });
    await keepAt(parts, 0, 31_000);
    expect(did).to.deep.equal(["settled", "found", "settled"]);
  });

  it("says which of the logs that it goes on with are of containers that run", async () => {
    const resumed: unknown[] = [];
    const container = (id: string, state: object): object => ({
      id,
      state: { Running: false, Paused: false, ...state },
      identity: { kind: "container", logPath: `/pods/p/${id}/0.log`, extra: {} },
    });
    const containers = [
      container("runs", { Running: true }),
      container("paused", { Paused: true }),
      container("ended", {}),
    ];
    const parts = partsWith({
      index: {
        health: { synced: true, engineReady: true },
        counters: { resyncs: 0 },
        containers: () => Promise.resolve(containers),
        sandboxes: () => Promise.resolve([]),
        peek: () => undefined,
        onChange: () => () => undefined,
      },
      logChoice: { format: "cri", sourcePath: (id: string) => Promise.resolve(`/docker/${id}`) },
      logs: {
        resume: (targets: { containerId: string; running: boolean }[]) => {
          resumed.push(...targets.map(({ containerId, running }) => [containerId, running]));
          return new Promise(() => undefined);
        },
      },
      owed: { execsLeft: [], limits: new Map() },
      owedLimits: { foundRunning: () => undefined },
    });
    await keepAt(parts, 0);
    expect(resumed).to.deep.equal([
      ["runs", true],
      ["paused", true],
      ["ended", false],
    ]);
  });
});
