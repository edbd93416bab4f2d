import { performance } from "node:perf_hooks";
import { expect } from "chai";
import { EventLoopWatch, samplePeriodMs } from "../../../../src/daemon/metrics/event-loop-delay.ts";

describe("the delay of the event loop", () => {
  it("is how late a timer is, without its period, since the last reading", () => {
    let nowMs = 1_000;
    const watch = new EventLoopWatch(() => nowMs);
    const after = (ms: number): void => {
      nowMs += ms;
      watch.sample();
    };
    try {
      expect(watch.read()).to.deep.equal({ p50: 0, p90: 0, p99: 0, max: 0 });
      for (let left = 98; left > 0; left -= 1) after(samplePeriodMs);
      // A timer may be early by a hair.
      after(samplePeriodMs - 1);
      after(samplePeriodMs + 300);
      const { p50, p90, max } = watch.read();
      for (const none of [p50, p90]) expect(none).to.be.closeTo(0, 1e-5);
      expect(max).to.be.closeTo(0.3, 0.003);
      after(samplePeriodMs + 20);
      const next = watch.read();
      expect(next.p50).to.be.closeTo(0.02, 0.001);
      expect(next.max).to.equal(next.p50);
    } finally {
      watch.close();
    }
  });

  it("shows a block that is under way when it is read", async () => {
    const watch = new EventLoopWatch();
    try {
      watch.read();
      const end = performance.now() + samplePeriodMs + 200;
      while (performance.now() < end);
      let max = 0;
      while (max === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        ({ max } = watch.read());
      }
      expect(max).to.be.above(0.19);
    } finally {
      watch.close();
    }
  });
});
