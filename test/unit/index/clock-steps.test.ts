import { expect } from "chai";
import { containerRun } from "../../../src/convert/state.ts";
import { addPod, containerName, createBody, idOf, podName, rig, totalRequests } from "./rig.ts";
import type { Rig } from "./rig.ts";

const hourMs = 3_600_000;

describe("the container index when the wall clock is set", () => {
  let r: Rig;
  beforeEach(async () => {
    r = await rig();
  });
  afterEach(async () => {
    await r.index.close();
    expect(r.clock.sleeping, "timers left after close").to.equal(0);
  });

  for (const [name, stepMs] of [
    ["an hour back", -hourMs],
    ["an hour forth", hourMs],
  ] as const) {
    it(`${name}, is right at once, in order, and asks no more than before`, async () => {
      const ids: string[] = [];
      for (const pod of ["a", "b", "c"]) {
        const { containerId } = addPod(r.docker, pod);
        r.docker.start(containerId);
        ids.push(containerId);
        await r.clock.advance(2_000);
      }
      const order = (await r.index.containers()).map(idOf);
      expect(order).to.deep.equal(ids);

      r.clock.setWall(stepMs);
      r.docker.exit(ids[1] ?? "", 7);
      // By the event, not by a list that makes good for it later.
      await r.clock.advance(1_000);
      const after = await r.index.containers();
      expect(after.map(idOf)).to.deep.equal(order);
      expect(after.map(({ state }) => state.Status)).to.deep.equal([
        "running",
        "exited",
        "running",
      ]);
      const run = containerRun(after[1]!.state, after[1]!.createdAtNs);
      expect(run.exitCode).to.equal(7);
      expect(Number(run.finishedAtNs - run.startedAtNs)).to.be.at.least(0);

      // No deadline, age or period follows the wall clock: a storm would show in requests.
      const before = totalRequests(r);
      await r.clock.advance(600_000);
      expect((totalRequests(r) - before) / 600).to.be.at.most(0.5);
      expect(r.index.health).to.include({ engineReady: true, synced: true });
    });

    it(`${name} in the midst of a create and of an inspect, shows the object as it is`, async () => {
      const name = podName("new");
      const steps = new Set(["createContainer", "inspectContainer"]);
      r.docker.hooks.after = ({ method }) => {
        if (steps.delete(method)) r.clock.setWall(stepMs);
      };
      const created = await r.engine.createContainer(name, createBody(name));
      r.index.created(created.id, name, createBody(name));
      await r.engine.startContainer(created.id);
      r.index.touched(created.id, "running");
      await r.clock.advance(10_000);
      expect((await r.index.sandboxes()).map(({ state }) => state.Status)).to.deep.equal([
        "running",
      ]);
      const member = containerName("main", "new");
      const { id } = r.docker.create(member, createBody(member, created.id));
      r.docker.start(id);
      r.docker.remove(id, { force: true });
      await r.clock.advance(10_000);
      expect(await r.index.containers()).to.deep.equal([]);
      expect(steps.size, "both steps were taken").to.equal(0);
    });
  }
});
