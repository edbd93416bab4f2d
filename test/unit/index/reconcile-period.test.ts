import { expect } from "chai";
import { ReconcilePeriod } from "../../../src/index/reconcile-period.ts";
import { addPod, rig } from "./rig.ts";

describe("the period of the reconcile list", () => {
  it("is as set while lists are quick, also when one of them had to wait", () => {
    const period = new ReconcilePeriod(7_500);
    for (const ms of [20, 2_000, 30, 2_000, 40]) {
      period.took(ms);
      expect(period.ms).to.equal(7_500);
    }
  });

  it("grows with the list's price, within limits, and shrinks again", () => {
    const period = new ReconcilePeriod(7_500);
    for (let list = 0; list < 3; list += 1) period.took(400);
    expect(period.ms).to.equal(20_000);
    for (let list = 0; list < 3; list += 1) period.took(60_000);
    expect(period.ms).to.equal(120_000);
    period.took(10);
    expect(period.ms).to.equal(7_500);
  });

  it("is what the index keeps to", async () => {
    const r = await rig();
    addPod(r.docker, "a");
    await r.clock.advance(1_000);
    r.docker.hooks.after = ({ method }) =>
      method === "listContainers" ? r.clock.sleep(500) : undefined;
    const quick = r.asked("listContainers");
    await r.clock.advance(30_000);
    expect(r.asked("listContainers") - quick).to.equal(3);
    const dear = r.asked("listContainers");
    await r.clock.advance(100_000);
    expect(r.asked("listContainers") - dear).to.be.within(3, 5);
    await r.index.close();
  });
});
