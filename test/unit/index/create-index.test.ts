import { expect } from "chai";
import {
  addPod,
  createBody,
  failure,
  idOf,
  podName,
  rig,
  statuses,
  totalRequests,
  type Rig,
} from "./rig.ts";
import { settle } from "./virtual-clock.ts";

const never = (): Promise<void> => new Promise(() => undefined);

describe("the container index", () => {
  let r: Rig;
  beforeEach(async () => {
    r = await rig();
  });
  afterEach(async () => {
    await r.index.close();
    expect(r.clock.sleeping, "timers left after close").to.equal(0);
  });

  it("shows what was there before it started, with nanoseconds", async () => {
    const { sandboxId, containerId } = addPod(r.docker, "a");
    await r.clock.advance(500);
    const containers = await r.index.containers();
    expect((await r.index.sandboxes()).map(idOf)).to.deep.equal([sandboxId]);
    expect(containers.map(idOf)).to.deep.equal([containerId]);
    expect(containers[0]?.createdAtNs).to.equal(r.docker.containers.get(containerId)?.createdAtNs);
    expect(containers[0]?.dirty).to.equal(false);
    expect((await r.index.membersOf(sandboxId)).map(idOf)).to.deep.equal([containerId]);
    expect((await r.index.byName(podName("a")))?.id).to.equal(sandboxId);
  });

  it("asks for nothing on reads and at most 0.5 requests a second on a quiet node", async () => {
    for (let pod = 0; pod < 100; pod += 1) addPod(r.docker, `p${pod}`);
    await r.clock.advance(5_000);
    const before = totalRequests(r);
    for (let second = 0; second < 600; second += 1) {
      await r.clock.advance(1_000);
      const [sandboxes, containers] = [await r.index.sandboxes(), await r.index.containers()];
      expect([sandboxes.length, containers.length]).to.deep.equal([100, 100]);
      await r.index.find("container", containers[second % 100]?.id ?? "");
      await r.index.images.list();
      await r.index.images.find("busybox:1");
    }
    expect((totalRequests(r) - before) / 600).to.be.at.most(0.5);
  });

  it("inspects once after a change", async () => {
    const { containerId } = addPod(r.docker, "a");
    await r.clock.advance(500);
    const before = r.asked("inspectContainer");
    r.docker.start(containerId);
    await r.clock.advance(100);
    await r.index.find("container", containerId);
    await r.index.containers();
    expect(r.asked("inspectContainer") - before).to.equal(1);
  });

  it("gives the same entry object until something changes, another after touchedRecord", async () => {
    const { containerId } = addPod(r.docker, "a");
    await r.clock.advance(500);
    const first = r.index.peek(containerId);
    await r.clock.advance(60_000);
    expect(r.index.peek(containerId)).to.equal(first);
    r.index.touchedRecord(containerId);
    expect(r.index.peek(containerId)).not.to.equal(first);
    expect(r.index.peek(containerId)?.dirty).to.equal(false);
  });

  it("ignores what is not ours", async () => {
    r.docker.create("mine", { Image: "busybox:1", Labels: {}, HostConfig: {} });
    const fake = "k8s_not_really";
    r.docker.create(fake, createBody(fake));
    await r.clock.advance(10_000);
    expect(await r.index.containers()).to.deep.equal([]);
    expect(await r.index.sandboxes()).to.deep.equal([]);
    expect(r.asked("inspectContainer")).to.equal(0);
  });

  it("finds by a unique prefix, refuses an ambiguous one, and keeps the kinds apart", async () => {
    const { sandboxId, containerId } = addPod(r.docker, "a");
    for (let pod = 0; pod < 20; pod += 1) addPod(r.docker, `p${pod}`);
    await r.clock.advance(500);
    expect((await r.index.find("container", containerId.slice(0, 12)))?.id).to.equal(containerId);
    expect(await r.index.find("podsandbox", containerId)).to.equal(undefined);
    expect(await r.index.find("container", sandboxId)).to.equal(undefined);
    expect(await r.index.find("container", "")).to.equal(undefined);
    const firsts = (await r.index.containers()).map((entry) => entry.id[0]);
    const twice = firsts.find((digit, at) => firsts.indexOf(digit) !== at) ?? "";
    expect((await failure(r.index.find("container", twice))).kind).to.equal("InvalidArgument");
  });

  describe("own writes", () => {
    it("cost no inspect between a create and its start, whoever tells of the create first", async () => {
      for (const eventFirst of [true, false]) {
        const name = podName(eventFirst ? "event" : "answer");
        const body = createBody(name);
        r.docker.events.fate = () => (eventFirst ? "deliver" : "hold");
        const before = r.asked("inspectContainer");
        const { id } = await r.engine.createContainer(name, body);
        // The event comes on another connection than the answer.
        if (eventFirst) await r.clock.advance(30);
        r.index.created(id, name, body);
        r.docker.events.release();
        await r.clock.advance(200);
        expect(r.asked("inspectContainer") - before, `event first: ${eventFirst}`).to.equal(0);
        r.docker.events.fate = () => "deliver";
        await r.engine.startContainer(id);
        r.index.touched(id, "running");
        await r.clock.advance(600);
        expect(r.asked("inspectContainer") - before).to.equal(1);
        expect(r.index.peek(id)?.dirty).to.equal(false);
      }
    });

    it("are in the next read, before any event or inspect", async () => {
      r.docker.events.fate = () => "drop";
      r.docker.hooks.before = ({ method }) => (method === "inspectContainer" ? never() : undefined);
      const { engine, index } = r;
      const name = podName("own");
      const body = createBody(name);
      const created = await engine.createContainer(name, body);
      index.created(created.id, name, body);
      expect(await statuses(r, index.sandboxes())).to.deep.equal(["created"]);
      await engine.startContainer(created.id);
      index.touched(created.id, "running");
      expect(await statuses(r, index.sandboxes())).to.deep.equal(["running"]);
      await engine.stopContainer(created.id, 0);
      index.touched(created.id, "exited");
      expect(await statuses(r, index.sandboxes())).to.deep.equal(["exited"]);
      await engine.removeContainer(created.id);
      index.removed(created.id);
      expect(await index.sandboxes()).to.deep.equal([]);
    });

    it("take an own inspect in place of the index's", async () => {
      const name = podName("own");
      const { id: sandboxId } = await r.engine.createContainer(name, createBody(name));
      r.index.created(sandboxId, name, createBody(name));
      await r.engine.startContainer(sandboxId);
      r.index.touched(sandboxId, "running");
      const mark = r.index.mark();
      r.index.observed(await r.engine.inspectContainer(sandboxId), mark);
      await r.clock.advance(1_000);
      expect(r.index.peek(sandboxId)?.dirty).to.equal(false);
      // The start event came within the same millisecond as the inspect: one more at the most.
      expect(r.asked("inspectContainer")).to.be.at.most(2);
    });

    it("do not bring back to life what has died at once", async () => {
      const { containerId } = addPod(r.docker, "a");
      await r.clock.advance(500);
      r.docker.start(containerId);
      r.docker.exit(containerId, 127);
      await settle();
      r.index.touched(containerId, "running");
      expect(r.index.peek(containerId)?.state).to.include({ Status: "exited", ExitCode: 127 });
    });

    it("show a failed start as Docker tells it, in list and status", async () => {
      const { containerId } = addPod(r.docker, "a");
      await r.clock.advance(500);
      r.docker.hooks.onStart = () => ({ status: 400, message: "no such file", exitCode: 127 });
      await r.engine.startContainer(containerId).catch(() => undefined);
      r.index.touched(containerId);
      const status = await r.index.find("container", containerId);
      expect(status?.state).to.include({ Status: "created", ExitCode: 127, Error: "no such file" });
      expect((await r.index.containers())[0]).to.equal(status);
      expect(r.changes.map((change) => change.kind).at(-1)).to.equal("stopped");
    });
  });

  describe("events", () => {
    it("that are lost are made good by the next reconcile", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      await r.clock.advance(500);
      r.docker.events.fate = () => "drop";
      r.docker.exit(containerId, 3);
      const pod = addPod(r.docker, "b");
      await r.clock.advance(8_000);
      expect(r.index.peek(containerId)?.state).to.include({ Status: "exited", ExitCode: 3 });
      expect(r.index.peek(pod.containerId)?.dirty).to.equal(false);
      r.docker.remove(containerId, { force: true });
      await r.clock.advance(8_000);
      expect(r.index.peek(containerId)).to.equal(undefined);
    });

    it("that come late or out of order never undo what is known", async () => {
      const { containerId } = addPod(r.docker, "a");
      await r.clock.advance(500);
      r.docker.events.fate = () => "hold";
      r.docker.start(containerId);
      await r.clock.advance(1_000);
      r.docker.exit(containerId, 1);
      r.docker.events.fate = ({ Action }) => (Action === "die" ? "deliver" : "hold");
      r.docker.start(containerId);
      await r.clock.advance(1_000);
      r.docker.exit(containerId, 9);
      await settle();
      const states: string[] = [];
      r.docker.hooks.before = ({ method }) => (method === "inspectContainer" ? never() : undefined);
      r.docker.events.release();
      await settle();
      states.push(r.index.peek(containerId)?.state.Status ?? "");
      expect(states).to.deep.equal(["exited"]);
      expect(r.index.peek(containerId)?.state.ExitCode).to.equal(9);
    });

    it("about a removed object do not bring it back", async () => {
      r.docker.events.fate = ({ Action }) => (Action === "destroy" ? "deliver" : "hold");
      const { sandboxId, containerId } = addPod(r.docker, "a");
      await r.clock.advance(8_000);
      expect(r.index.peek(containerId)?.id).to.equal(containerId);
      r.docker.remove(containerId, { force: true });
      await settle();
      expect(r.index.peek(containerId)).to.equal(undefined);
      const before = r.asked("inspectContainer");
      r.docker.events.release();
      await r.clock.advance(100);
      expect((await r.index.containers()).length).to.equal(0);
      expect((await r.index.sandboxes()).map(idOf)).to.deep.equal([sandboxId]);
      expect(r.asked("inspectContainer")).to.equal(before);
    });

    it("of an exit are not undone by a list that the engine has not refreshed yet", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      await r.clock.advance(500);
      const before = r.docker.list();
      r.docker.hooks.before = ({ method }) => (method === "inspectContainer" ? never() : undefined);
      r.docker.exit(containerId, 4);
      await r.clock.advance(100);
      r.docker.list = () => before;
      await r.clock.advance(8_000);
      expect(r.index.peek(containerId)?.state).to.include({ Status: "exited", ExitCode: 4 });
    });

    it("tell of an out-of-memory kill that the engine's own flag missed", async () => {
      const { containerId } = addPod(r.docker, "a");
      r.docker.start(containerId);
      await r.clock.advance(500);
      const container = r.docker.containers.get(containerId);
      r.docker.exit(containerId, 137, { oomKilled: true });
      if (container !== undefined) container.oomKilled = false;
      await r.clock.advance(500);
      const entry = await r.index.find("container", containerId);
      expect(entry?.state).to.include({ Status: "exited", OOMKilled: true });
      expect(entry?.inspect?.State.OOMKilled).to.equal(true);
      r.docker.start(containerId);
      await r.clock.advance(500);
      r.docker.exit(containerId, 1);
      const again = await r.index.find("container", containerId);
      expect(again?.state, "another run").to.include({ OOMKilled: false });
    });

    it("that stop coming without a word are noticed, and followed again", async () => {
      const pods = ["a", "b", "c"].map((pod) => addPod(r.docker, pod));
      await r.clock.advance(500);
      const before = r.index.counters.resyncs;
      r.docker.events.fate = () => "drop";
      for (const { containerId } of pods) {
        r.docker.start(containerId);
        await r.clock.advance(7_500);
      }
      await r.clock.advance(1_000);
      expect(r.index.counters.resyncs).to.be.greaterThan(before);
    });

    it("lost without a trace in any list heal with time", async () => {
      const { containerId } = addPod(r.docker, "a");
      await r.clock.advance(500);
      r.docker.events.fate = () => "drop";
      r.docker.update(containerId, { CpuShares: 77 });
      await r.clock.advance(330_000);
      expect(r.index.peek(containerId)?.inspect?.HostConfig.CpuShares).to.equal(77);
    });
  });

  it("tells each step of a life once and in order", async () => {
    const { sandboxId, containerId } = addPod(r.docker, "a");
    r.docker.events.fate = () => "duplicate";
    await r.clock.advance(500);
    r.docker.start(containerId);
    await r.clock.advance(500);
    r.docker.exit(containerId, 0);
    await r.clock.advance(500);
    r.docker.remove(sandboxId, { force: true });
    await r.clock.advance(500);
    const told = (of: string): string[] =>
      r.changes.filter((change) => change.entry.id === of).map((change) => change.kind);
    expect(told(containerId)).to.deep.equal(["created", "started", "stopped"]);
    expect(told(sandboxId)).to.deep.equal(["created", "started", "stopped", "deleted"]);
  });

  it("reads a legacy object without its image's labels", async () => {
    const labels = {
      "annotation.evil": "yes",
      "io.kubernetes.docker.type": "podsandbox",
      own: "1",
    };
    r.docker.images.add({ references: ["hostile:1"], labels: { "annotation.evil": "yes" } });
    r.docker.create(podName("old"), { Image: "hostile:1", Labels: labels, HostConfig: {} });
    await r.clock.advance(500);
    const [entry] = await r.index.sandboxes();
    expect(entry?.identity.legacy).to.equal(true);
    expect({ ...entry?.identity.annotations }).to.deep.equal({});
    expect(entry?.identity.labels["own"]).to.equal("1");
  });
});
