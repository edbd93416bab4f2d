import { expect } from "chai";
import { systemClock } from "../../../src/sys/clock.ts";

/** How far the clock is from the wall clock; a process that stood still between two readings looks again. */
function apartFromWallMs(): number {
  const apart: number[] = [];
  for (let reading = 0; reading < 20; reading += 1) {
    apart.push(Math.abs(Number(systemClock.nowNs() / 1_000_000n) - Date.now()));
  }
  return Math.min(...apart);
}

describe("the system's clock", () => {
  it("never goes back by itself, and follows a wall clock that is set", () => {
    let last = systemClock.nowNs();
    let back = 0;
    const end = performance.now() + 60;
    while (performance.now() < end) {
      const now = systemClock.nowNs();
      if (now < last) back += 1;
      last = now;
    }
    expect(back, "steps back in 60 ms").to.equal(0);
    const { now } = Date;
    try {
      for (const byMs of [-3_600_000, 3_600_000]) {
        Date.now = () => now() + byMs;
        expect(apartFromWallMs()).to.be.below(4);
      }
    } finally {
      Date.now = now;
    }
    expect(apartFromWallMs()).to.be.below(4);
  });

  it("takes a pause between its two readings for no clock that is set", () => {
    const { now } = Date;
    const before = systemClock.nowNs();
    let readings = 0;
    try {
      // As if the process had stood still for 50 ms after it had read the monotonic clock.
      Date.now = () => now() + ((readings += 1) === 1 ? 50 : 0);
      const during = systemClock.nowNs();
      expect(Number(during - before) / 1e6).to.be.within(0, 40);
    } finally {
      Date.now = now;
    }
    expect(readings).to.equal(2);
  });

  it("sleeps for longer than a timer of Node can, and ends at its signal", async () => {
    // The largest timeout of the CRI, in ms, and one just above Node's limit.
    for (const ms of [2 ** 31, 2 ** 63 * 1000, Infinity]) {
      const end = new AbortController();
      const slept = systemClock.sleep(ms, end.signal).then(
        () => "over",
        (error: unknown) => (error as Error).message,
      );
      await systemClock.sleep(30);
      end.abort(new Error("woken"));
      expect(await slept, String(ms)).to.equal("woken");
    }
  });
});
