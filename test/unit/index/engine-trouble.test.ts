import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import {
  addPod,
  containerName,
  createBody,
  elapsed,
  failure,
  idOf,
  rig,
  statuses,
  type Rig,
} from "./rig.ts";
import { settle } from "./virtual-clock.ts";

const never = (): Promise<void> => new Promise(() => undefined);

describe("the container index, with the engine in trouble:", () => {
  let r: Rig;
  beforeEach(async () => {
    r = await rig();
  });
  afterEach(async () => {
    await r.index.close();
    expect(r.clock.sleeping, "timers left after close").to.equal(0);
  });

  describe("a hung inspect", () => {
    it("delays its own status by 3 s at most, one list by 250 ms, and nothing else", async () => {
      const sick = addPod(r.docker, "sick").containerId;
      const well = addPod(r.docker, "well").containerId;
      await r.clock.advance(500);
      r.docker.hooks.before = ({ method, subject }) =>
        method === "inspectContainer" && subject === sick ? never() : undefined;
      r.docker.start(sick);
      r.docker.start(well);
      await settle();
      expect(await elapsed(r, r.index.containers())).to.be.within(200, 260);
      expect(await elapsed(r, r.index.containers())).to.equal(0);
      expect(await elapsed(r, r.index.find("container", well))).to.equal(0);
      expect(await elapsed(r, r.index.find("container", sick))).to.be.at.most(3_000);
      expect(await elapsed(r, r.index.find("container", sick))).to.equal(0);
      expect(r.index.peek(sick)?.state.Status, "from the event").to.equal("running");
      for (let second = 0; second < 30; second += 1) {
        await r.clock.advance(1_000);
        expect(await elapsed(r, r.index.containers())).to.equal(0);
      }
      expect(r.index.counters).to.include({ inspectsInFlight: 1, inspectsStuck: 1 });
    });

    it("of many objects does not keep others from being inspected", async () => {
      const sick = new Set<string>();
      for (let pod = 0; pod < 40; pod += 1) sick.add(addPod(r.docker, `s${pod}`).containerId);
      await r.clock.advance(500);
      r.docker.hooks.before = ({ method, subject }) =>
        method === "inspectContainer" && sick.has(subject) ? never() : undefined;
      for (const container of sick) r.docker.start(container);
      await r.clock.advance(10_000);
      const { containerId } = addPod(r.docker, "well");
      await r.clock.advance(500);
      expect(r.index.peek(containerId)?.dirty).to.equal(false);
      expect(r.index.counters.inspectsInFlight).to.equal(40);
    });
  });

  describe("an answer that comes late", () => {
    it("does not undo a newer event, and is asked for again", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      await r.clock.advance(500);
      let answer = (): void => undefined;
      r.docker.hooks.after = ({ method }) =>
        method === "inspectContainer" ? new Promise((resolve) => (answer = resolve)) : undefined;
      const status = r.index.find("container", containerId, { fresh: true });
      await settle();
      await r.clock.advance(50);
      r.docker.exit(containerId, 5);
      await settle();
      r.docker.hooks.after = undefined;
      answer();
      await settle();
      expect((await status)?.state.Status).to.equal("exited");
      await r.clock.advance(50);
      expect(r.index.peek(containerId)).to.include({ dirty: false });
      expect(r.index.peek(containerId)?.state.ExitCode).to.equal(5);
    });

    it("of a list neither removes what was made meanwhile nor revives what went", async () => {
      const old = addPod(r.docker, "old");
      await r.clock.advance(500);
      let answer = (): void => undefined;
      r.docker.hooks.after = ({ method }) =>
        method === "listContainers" ? new Promise((resolve) => (answer = resolve)) : undefined;
      await r.clock.advance(7_500);
      const name = containerName("new", "old");
      const body = createBody(name, old.sandboxId);
      const { id: fresh } = await r.engine.createContainer(name, body);
      r.index.created(fresh, name, body);
      await r.engine.removeContainer(old.containerId);
      r.index.removed(old.containerId);
      answer();
      await settle();
      expect((await r.index.containers()).map(idOf)).to.deep.equal([fresh]);
    });
  });

  describe("a list that tells otherwise than the inspect, forever", () => {
    it("of a container that could not be removed, is asked about once and cuts no stream", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      r.docker.exit(containerId, 1);
      await r.clock.advance(500);
      Object.assign(r.docker.get(containerId, "test"), {
        status: "dead",
        listedStatus: "removing",
      });
      await r.clock.advance(10_000);
      expect(r.index.peek(containerId)).to.include({ dirty: false });
      expect(r.index.peek(containerId)?.state.Status).to.equal("dead");
      const { inspects } = r.index.counters;
      await r.clock.advance(60_000);
      expect(r.index.counters).to.include({ inspects, repairs: 1, resyncs: 1 });
      expect(r.asked("events")).to.equal(1);
    });

    it("of any container, is no sign that the stream is dead; another word is", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      r.docker.exit(containerId, 1);
      await r.clock.advance(500);
      const fake = r.docker.get(containerId, "test");
      fake.listedStatus = "running";
      await r.clock.advance(60_000);
      expect(r.index.counters).to.include({ repairs: 1, resyncs: 1 });
      fake.listedStatus = "paused";
      await r.clock.advance(10_000);
      expect(r.index.counters).to.include({ repairs: 2, resyncs: 1 });
      expect(r.asked("events")).to.equal(1);
    });
  });

  describe("the engine away", () => {
    it("makes it not ready within 10 s, serves 30 s more, then says Unavailable, and heals", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      await r.clock.advance(500);
      expect(r.index.health).to.include({ engineReady: true, reason: "", synced: true });
      r.docker.goAway();
      await r.clock.advance(1_000);
      expect(r.index.health).to.include({ engineReady: false, synced: false });
      expect(r.index.health.reason).not.to.equal("");
      await r.clock.advance(28_000);
      expect((await r.index.containers()).map(idOf)).to.deep.equal([containerId]);
      await r.clock.advance(2_000);
      expect((await failure(r.index.containers())).kind).to.equal("Unavailable");
      expect((await failure(r.index.find("container", containerId))).kind).to.equal("Unavailable");
      r.docker.comeBack();
      r.docker.exit(containerId, 137);
      await r.clock.advance(2_000);
      expect(r.index.health).to.include({ engineReady: true, synced: true });
      expect((await r.index.containers())[0]?.state).to.include({ Status: "exited" });
    });

    it("frozen, is found out by the ping within 10 s, and nothing piles up", async () => {
      const pods = Array.from({ length: 30 }, (_, pod) => addPod(r.docker, `p${pod}`));
      await r.clock.advance(500);
      let asked = 0;
      let frozen = true;
      r.docker.hooks.before = async ({ method }) => {
        asked += 1;
        // What the transport does when the answer does not come.
        await r.clock.sleep(method === "ping" ? 2_000 : 60_000);
        if (frozen) {
          throw new EngineError({ failure: "timeout", operation: method, message: "no answer" });
        }
      };
      await r.clock.advance(10_000);
      expect(r.index.health.engineReady).to.equal(false);
      for (const { containerId } of pods) r.index.touched(containerId);
      asked = 0;
      await r.clock.advance(300_000);
      expect(asked, "requests in 5 minutes").to.be.at.most(110);
      expect((await failure(r.index.containers())).kind).to.equal("Unavailable");
      frozen = false;
      r.docker.hooks.before = undefined;
      await r.clock.advance(10_000);
      expect(r.index.health).to.include({ engineReady: true, synced: true });
      expect((await r.index.containers()).every((entry) => !entry.dirty)).to.equal(true);
      await r.clock.advance(60_000);
    });

    it("from the beginning is Unavailable at once, and asked when it comes", async () => {
      const { index, docker, clock } = await rig();
      await index.close();
      docker.goAway();
      const late = await rig({ engine: docker.asEngine() });
      expect((await failure(late.index.containers())).kind).to.equal("Unavailable");
      docker.comeBack();
      addPod(docker, "a");
      await late.clock.advance(2_000);
      expect((await late.index.containers()).length).to.equal(1);
      expect(late.changes, "it was there before").to.deep.equal([]);
      await late.index.close();
      expect(clock.sleeping).to.equal(0);
    });

    it("for the events alone, is asked for each list", async () => {
      const { containerId } = addPod(r.docker, "a");
      await r.clock.advance(500);
      r.docker.hooks.before = ({ method }) => (method === "events" ? never() : undefined);
      r.docker.events.cut();
      await r.clock.advance(100);
      expect(r.index.health).to.include({ engineReady: true, synced: false });
      r.docker.start(containerId);
      expect(await statuses(r, r.index.containers())).to.deep.equal(["running"]);
      r.docker.update(containerId, { CpuShares: 5 });
      const status = await r.index.find("container", containerId);
      expect(status?.inspect?.HostConfig.CpuShares).to.equal(5);
    });
  });
});
