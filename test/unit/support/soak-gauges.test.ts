import { expect } from "chai";
import { judge, slopeOf } from "../../soak/gauges.ts";
import type { Gauges } from "../../soak/gauges.ts";
import { pick, seeded } from "../../soak/random.ts";

const rest: Gauges = {
  atMinutes: 1,
  residentMib: 100,
  descriptors: 40,
  processes: 1,
  zombies: 0,
  openRequests: 0,
  engineGoroutines: 44,
  engineDescriptors: 60,
  leftAttaches: 0,
  containers: 2,
  netns: 0,
  mounts: 3,
  links: 0,
  addresses: 0,
  records: 0,
};

const leaks = (readings: Gauges[]): string[] =>
  judge(readings)
    .filter(({ passed }) => !passed)
    .map(({ name }) => name);

describe("what a soak measures at rest", () => {
  it("passes when nothing grew but what may", () => {
    const end = { ...rest, atMinutes: 3, residentMib: 130, descriptors: 45, engineGoroutines: 60 };
    expect(leaks([rest, end, end])).to.deep.equal([]);
    // One reading in a moment of work is no leak.
    expect(leaks([rest, { ...rest, atMinutes: 2 }, { ...end, addresses: 4 }])).to.deep.equal([]);
  });

  it("names each thing that was left, and needs two readings", () => {
    for (const name of [
      "zombies",
      "containers",
      "netns",
      "mounts",
      "links",
      "addresses",
      "records",
    ]) {
      const end = { ...rest, atMinutes: 3, [name]: rest[name as "zombies"] + 1 };
      expect(leaks([rest, end, end])).to.deep.equal([name]);
      expect(leaks([rest, end])).to.deep.equal([name]);
    }
    for (const name of ["descriptors", "engineGoroutines", "engineDescriptors", "residentMib"]) {
      const end = { ...rest, atMinutes: 3, [name]: rest[name as "descriptors"] + 100 };
      expect(leaks([rest, end, end])).to.deep.equal([name]);
    }
    expect(leaks([rest])).to.deep.equal(["readings"]);
  });

  it("judges the slope of memory over an hour and more, after the first one", () => {
    const hours = (perHour: number): Gauges[] =>
      Array.from({ length: 10 }, (_, at) => ({
        ...rest,
        atMinutes: 1 + at * 20,
        residentMib: 100 + (perHour * at) / 3,
      }));
    expect(leaks(hours(0.5))).to.deep.equal([]);
    expect(leaks(hours(5))).to.deep.equal(["memory slope"]);
    const filling = hours(0.5).map((each) =>
      each.atMinutes < 60 ? { ...each, residentMib: each.residentMib - 20 } : each,
    );
    expect(leaks(filling)).to.deep.equal([]);
    // Too short to say anything in this unit.
    expect(leaks(hours(5).slice(0, 6))).to.deep.equal([]);
    expect(
      slopeOf([
        [0, 1],
        [1, 3],
        [2, 5],
      ]),
    ).to.be.closeTo(2, 1e-9);
  });

  it("draws the same faults from the same seed", () => {
    const draw = (seed: number): string[] => {
      const random = seeded(seed);
      return Array.from({ length: 20 }, () => pick(random, ["a", "b", "c", "d"]));
    };
    expect(draw(7)).to.deep.equal(draw(7));
    expect(draw(7)).to.not.deep.equal(draw(8));
    expect(new Set(draw(7)).size).to.equal(4);
  });
});
