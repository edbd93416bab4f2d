import { expect } from "chai";
import { execEnder } from "../../../src/engine/end-exec.ts";
import { EngineError } from "../../../src/engine/errors.ts";
import type { ExecInspect } from "../../../src/engine/types.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { until } from "../../support/until.ts";

type Look = Partial<ExecInspect> | Error;

const refused = (status: number): EngineError =>
  new EngineError({ operation: "inspect exec", failure: "status", status, message: "no" });
const gone = refused(404);
const running: Look = { Running: true, Pid: 42 };
const starting: Look = { Running: true, Pid: 0 };
const created: Look = { Running: false, Pid: 0, ExitCode: null };
const over: Look = { Running: false, Pid: 42, ExitCode: 0 };

/** Ends an exec that each look finds as listed, the last one for good. A kill of NaN throws. */
async function end(
  looks: readonly Look[],
  kills: readonly number[] = [1],
  shims: (number | "none" | "unknown")[] = ["none"],
) {
  const left = [...looks];
  const killsLeft = [...kills];
  const shimsLeft = [...shims];
  const killed: number[] = [];
  let seen = 0;
  const pauses: number[] = [];
  const endExec = execEnder({
    engine: {
      inspectExec: () => {
        seen += 1;
        const look = (left.length > 1 ? left.shift() : left[0]) ?? over;
        if (look instanceof Error) return Promise.reject(look);
        const found = { ID: "e", ContainerID: "c", Running: false, ExitCode: null, Pid: 0 };
        return Promise.resolve({ ...found, ...look });
      },
    },
    clock: {
      sleep: (ms) => {
        pauses.push(ms);
        return new Promise((resolve) => setImmediate(resolve));
      },
    },
    rarelyMs: 1,
    pidOf: () => (shimsLeft.length > 1 ? shimsLeft.shift() : shimsLeft[0]) ?? "none",
    killExecTree: (pid) => {
      killed.push(pid);
      const count = (killsLeft.length > 1 ? killsLeft.shift() : killsLeft[0]) ?? 1;
      if (Number.isNaN(count)) return Promise.reject(new Error("EMFILE: too many open files"));
      return Promise.resolve(count);
    },
  });
  await endExec("e", "c");
  const atFirst = seen;
  let before = -1;
  await until(async () => {
    if (before === seen) return true;
    before = seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
    return false;
  });
  return { atFirst, looks: seen, killed, pausedMs: pauses.reduce((sum, ms) => sum + ms, 0) };
}

describe("the end of an exec that nobody waits for", () => {
  it("is its process tree's, at the first look", async () => {
    expect(await end([running])).to.deep.equal({ atFirst: 1, looks: 1, killed: [42], pausedMs: 0 });
  });

  it("is nothing to do when it has ended, or its container has", async () => {
    for (const look of [over, gone]) {
      expect(await end([look])).to.include({ looks: 1, pausedMs: 0 });
    }
  });

  it("comes when the engine has started it at last, and its caller does not wait for that", async () => {
    const { atFirst, looks, killed } = await end([created, starting, starting, running]);
    expect({ atFirst, looks, killed }).to.deep.equal({ atFirst: 1, looks: 4, killed: [42] });
  });

  it("comes although the engine fails, is away, or loses answers meanwhile", async () => {
    const away = new EngineError({ operation: "x", failure: "unreachable", message: "away" });
    const { looks, killed } = await end([refused(500), away, away, starting, away, running]);
    expect({ looks, killed }).to.deep.equal({ looks: 6, killed: [42] });
  });

  it("is tried again when no process was found to kill", async () => {
    expect((await end([running], [0, 0, 3])).killed).to.deep.equal([42, 42, 42]);
    expect(await end([running, over], [0])).to.include({ looks: 2 });
  });

  it("is tried again when the kill could not be tried, or broke off half-way", async () => {
    const { looks, killed } = await end([running], [NaN, NaN, 1]);
    expect({ looks, killed }).to.deep.equal({ looks: 3, killed: [42, 42, 42] });
    for (const look of [gone, refused(500)]) {
      expect((await end([look], [NaN, 1], [77])).killed).to.deep.equal([77, 77]);
    }
  });

  it("is found by its shim when Docker has lost it or does not answer", async () => {
    for (const look of [gone, refused(500)]) {
      expect(await end([look], [1], [77])).to.include({ looks: 1, pausedMs: 0 });
      expect((await end([look], [1], [77])).killed).to.deep.equal([77]);
    }
  });

  it("does not count as done while neither Docker nor its shim can be asked", async () => {
    const { looks, killed } = await end([gone], [1], ["unknown", "unknown", 77]);
    expect({ looks, killed }).to.deep.equal({ looks: 3, killed: [77] });
  });

  it("that Docker was never asked to start is not looked for any longer than half a minute", async () => {
    const { looks, pausedMs } = await end([created]);
    expect(looks).to.be.below(90);
    expect(pausedMs).to.be.within(25_000, 40_000);
  });

  it("is never forgotten while nothing tells of it: after ten minutes it is looked for rarely", async () => {
    const inTenMinutes = 251;
    const unknown = Array<Look>(inTenMinutes + 3).fill(refused(500));
    const { pausedMs, killed, looks } = await end([...unknown, running]);
    expect(killed).to.deep.equal([42]);
    expect(looks).to.equal(unknown.length + 1);
    expect(pausedMs).to.equal(611_000);
  });

  it("is left to the next process when this one ends", async () => {
    const stopping = new AbortController();
    let looks = 0;
    let ended = 0;
    const endExec = execEnder({
      engine: { inspectExec: () => Promise.reject(refused(500 + (looks += 1))) },
      clock: systemClock,
      pidOf: () => "unknown",
      killExecTree: () => Promise.resolve(0),
      ended: () => (ended += 1),
      stopping: stopping.signal,
    });
    await endExec("e", "c");
    stopping.abort();
    const seen = looks;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect([looks, ended]).to.deep.equal([seen, 0]);
  });
});
