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

  const isNoTrouble = { lookAtForeign: () => Promise.resolve() };

  it("settles partially created pods although a sweep fails each time", async () => {
    const did: string[] = [];
    let nowMs = 0;
    const parts = {
      clock: { monotonicMs: () => nowMs },
      log: silentLogger,
      index: {
        health: { synced: true, engineReady: true },
        counters: { resyncs: 0 },
        containers: () => Promise.resolve([]),
        sandboxes: () => Promise.resolve([]),
        onChange: () => () => undefined,
      },
      views: isNoTrouble,
      info: { stale: false },
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
      sandboxes: { settle: () => Promise.resolve(void did.push("settled")) },
    };
    const house = keepHouse(parts as never);
    for (const atMs of [0, 6_000, 12_000, 31_000]) {
      nowMs = atMs;
      tick();
      for (let round = 0; round < 20; round += 1) await turn();
    }
    house.stop();
    expect(did).to.deep.equal([
      ...["exec in container", "limits", "settled", "logs"],
      ...["limits", "logs", "limits", "logs", "limits", "settled", "logs"],
    ]);
  });

  it("settles what is owed although a container's log hangs with its disk", async () => {
    const did: string[] = [];
    let nowMs = 0;
    const parts = {
      clock: { monotonicMs: () => nowMs },
      log: silentLogger,
      index: {
        health: { synced: true, engineReady: true },
        counters: { resyncs: 0 },
        containers: () => Promise.resolve([]),
        sandboxes: () => Promise.resolve([]),
        onChange: () => () => undefined,
      },
      views: isNoTrouble,
      info: { stale: false },
      logs: { resume: () => new Promise(() => undefined) },
      owed: { execsLeft: [], limits: new Map() },
      owedLimits: { foundRunning: () => did.push("found") },
      sandboxes: { settle: () => Promise.resolve(void did.push("settled")) },
    };
    const house = keepHouse(parts as never);
    for (const atMs of [0, 31_000]) {
      nowMs = atMs;
      tick();
      for (let round = 0; round < 20; round += 1) await turn();
    }
    house.stop();
    expect(did).to.deep.equal(["settled", "found", "settled"]);
  });

  it("says which of the logs that it goes on with are of containers that run", async () => {
    const resumed: unknown[] = [];
    const container = (id: string, state: object): object => ({
      id,
      state: { Running: false, Paused: false, ...state },
      identity: { kind: "container", logPath: `/pods/p/${id}/0.log`, extra: {} },
    });
    const parts = {
      clock: { monotonicMs: () => 0 },
      log: silentLogger,
      index: {
        health: { synced: true, engineReady: true },
        counters: { resyncs: 0 },
        containers: () =>
          Promise.resolve([
            container("runs", { Running: true }),
            container("paused", { Paused: true }),
            container("ended", {}),
          ]),
        sandboxes: () => Promise.resolve([]),
        peek: () => undefined,
        onChange: () => () => undefined,
      },
      views: isNoTrouble,
      info: { stale: false },
      logChoice: { format: "cri", sourcePath: (id: string) => Promise.resolve(`/docker/${id}`) },
      logs: {
        resume: (targets: { containerId: string; running: boolean }[]) => {
          resumed.push(...targets.map(({ containerId, running }) => [containerId, running]));
          return new Promise(() => undefined);
        },
      },
      owed: { execsLeft: [], limits: new Map() },
      owedLimits: { foundRunning: () => undefined },
      sandboxes: { settle: () => Promise.resolve() },
    };
    const house = keepHouse(parts as never);
    tick();
    for (let round = 0; round < 20; round += 1) await turn();
    house.stop();
    expect(resumed).to.deep.equal([
      ["runs", true],
      ["paused", true],
      ["ended", false],
    ]);
  });
});
