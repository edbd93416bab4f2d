import type { PassThrough } from "node:stream";
import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import { ExecPatience } from "../../../src/containers/exec-patience.ts";
import type { Clock } from "../../../src/sys/clock.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { ends, frame, lost, run, silent } from "../../support/exec-scene.ts";

/** As a request that gets no answer: it ends with its signal. */
const noAnswer = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(lost("aborted")), { once: true });
  });

describe("ExecSync and the time that its caller waits", () => {
  it("is UNAVAILABLE before its caller leaves, which would take its leaving for a late command", async () => {
    for (const scene of [
      { create: noAnswer },
      { start: (_stream: PassThrough, _die: unknown, signal: AbortSignal) => noAnswer(signal) },
    ]) {
      const { answer, ms } = await run({ ...scene, remainingMs: 2_000 });
      expect(answer).to.equal("Unavailable");
      expect(ms).to.be.above(800);
    }
    // Its time has passed, and Docker is behind: it would be asked for a minute.
    const behind = await run({
      remainingMs: 2_500,
      inspect: () => Promise.resolve({ Running: true, Pid: 0 }),
    });
    expect([behind.answer, behind.ended]).to.deep.equal(["Unavailable", 1]);
    expect(behind.ms).to.be.within(1_000, 10_000);
    const ended = await run({
      remainingMs: 1_500,
      timeout: 60n,
      start: (stream) => Promise.resolve(stream.end()),
      inspect: silent,
    });
    expect([ended.answer, ended.ended]).to.deep.equal(["Unavailable", 1]);
    expect(ended.ms).to.be.below(7_000);
  });

  it("ends an exec whose start got an answer only after its caller's time", async () => {
    const { ended } = await run({
      remainingMs: 1_000,
      start: (_s, _d, signal) => noAnswer(signal),
    });
    expect(ended).to.equal(1);
  });

  it("gives Docker all but a second of what the kubelet waits beside the command's time", () => {
    const clock = { ...systemClock, monotonicMs: () => 0 };
    const by = (remainingMs: number, timeoutMs: number): number =>
      new ExecPatience(clock, remainingMs, timeoutMs).answerByMs;
    expect(by(121_000, 1_000)).to.equal(120_000);
    expect(by(1_500, 1_000)).to.equal(1_350);
    expect(by(Infinity, 1_000)).to.equal(Infinity);
    expect(by(Infinity, Infinity)).to.equal(Infinity);
  });

  for (const [remainingMs, timeoutMs, waitsMs] of [
    [121_000, 1_000, 119_000],
    [420_000, 300_000, 119_000],
    [1_100, 1_000, 495],
    [10_000, 60_000, 4_500],
    [Infinity, Infinity, Infinity],
  ] as const) {
    it(`waits ${waitsMs} ms for a start when ${remainingMs} are left and the command has ${timeoutMs}`, async () => {
      let sleeps = -1;
      const clock: Clock = {
        ...systemClock,
        monotonicMs: () => 0,
        sleep: async (ms) => {
          sleeps = ms;
          await new Promise(() => undefined);
        },
      };
      await new ExecPatience(clock, remainingMs, timeoutMs).untilStarted("x", () =>
        Promise.resolve(),
      );
      expect(sleeps).to.equal(waitsMs);
    });
  }
});

describe("ExecSync and what is lost on its way", () => {
  it("ends with its command although the event was lost and a child holds the output", async () => {
    const { answer, ended } = await run({
      timeout: 0n,
      speed: 10,
      start: (stream) => {
        stream.write(frame(1, "out"));
        return Promise.resolve(stream);
      },
      inspect: (look) =>
        look === 1 ? Promise.reject(lost("timeout")) : Promise.resolve({ ExitCode: 5, Pid: 42 }),
    });
    expect(answer).to.include({ exitCode: 5 });
    expect(ended).to.equal(0);
  }).timeout(30_000);

  it("goes on while it is looked at and still runs", async () => {
    const { answer, inspects } = await run({
      timeout: 60n,
      speed: 10,
      start: (stream, die) => {
        setTimeout(() => die(0), 500);
        return Promise.resolve(stream);
      },
    });
    expect(answer).to.include({ exitCode: 0 });
    expect(inspects).to.be.at.least(1);
  }).timeout(30_000);

  it("ends an exec whose start failed inside the engine, and none that was refused", async () => {
    for (const [status, ends] of [
      [500, 1],
      [503, 1],
      [409, 0],
      [404, 0],
      [400, 0],
    ] as const) {
      const error = new EngineError({
        failure: "status",
        status,
        operation: "start exec",
        message: "start exec: context deadline exceeded",
      });
      const { ended } = await run({ start: () => Promise.reject(error) });
      expect(ended, String(status)).to.equal(ends);
    }
  });

  it("keeps the output of single bytes whole", async () => {
    const { answer } = await run({
      start: (stream, die) => {
        for (let at = 0; at < 50_000; at += 1) stream.write(frame(at % 2 === 0 ? 1 : 2, "ab"));
        return ends(0)(stream, die);
      },
      timeout: 20n,
    });
    const { stdout, stderr } = answer as { stdout: Uint8Array; stderr: Uint8Array };
    const expected = "ab".repeat(25_000);
    expect(Buffer.from(stdout).toString()).to.equal(expected);
    expect(Buffer.from(stderr).toString()).to.equal(expected);
  }).timeout(30_000);
});
