import { expect } from "chai";
import { Model } from "./model.ts";

const seed = Number(process.env["DOCKLINE_MODEL_SEED"] ?? Date.now() % 1_000_000_000);
const steps = Number(
  process.env["DOCKLINE_MODEL_STEPS"] ?? (process.env["CI"] === undefined ? 10_000 : 100_000),
);

describe("the index under random calls, events and faults", () => {
  it(`agrees with the engine after ${steps} steps (DOCKLINE_MODEL_SEED=${seed})`, async function () {
    this.timeout(120_000);
    const model = await Model.start(seed);
    try {
      for (let step = 0; step < steps; step += 1) {
        await model.step();
        if (step % 250 === 249) await model.settleAndCompare();
      }
      await model.settleAndCompare();
    } finally {
      await model.close();
    }
    // The run must have met what it is about.
    const { seen } = model;
    for (const what of [
      "create",
      "exit",
      "remove",
      "hang",
      "away",
      "cut",
      "late answer",
      "rename",
    ]) {
      expect(seen.get(what) ?? 0, what).to.be.greaterThan(0);
    }
  });
});
