import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import type { ContainerEntry } from "../../../src/index/container-index.ts";
import { CriError } from "../../../src/errors.ts";
import { addPod, containerName, createBody, podName, rig, type Rig } from "./rig.ts";
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
    expect((await r.index.sandboxes()).map(id)).to.deep.equal([sandboxId]);
    expect(containers.map(id)).to.deep.equal([containerId]);
    expect(containers[0]?.createdAtNs).to.equal(r.docker.containers.get(containerId)?.createdAtNs);
    expect(containers[0]?.dirty).to.equal(false);
    expect((await r.index.membersOf(sandboxId)).map(id)).to.deep.equal([containerId]);
    expect((await r.index.byName(podName("a")))?.id).to.equal(sandboxId);
  });

  it("asks for nothing on reads and at most 0.5 requests a second on a quiet node", async () => {
    for (let pod = 0; pod < 100; pod += 1) addPod(r.docker, `p${pod}`);
    await r.clock.advance(5_000);
    const before = total(r);
    for (let second = 0; second < 600; second += 1) {
      await r.clock.advance(1_000);
      const [sandboxes, containers] = [await r.index.sandboxes(), await r.index.containers()];
      expect([sandboxes.length, containers.length]).to.deep.equal([100, 100]);
      await r.index.find("container", containers[second % 100]?.id ?? "");
      await r.index.images.list();
      await r.index.images.find("busybox:1");
    }
    expect((total(r) - before) / 600).to.be.at.most(0.5);
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
      expect((await r.index.sandboxes()).map(id)).to.deep.equal([sandboxId]);
      expect(r.asked("inspectContainer")).to.equal(before);
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

    it("that stop coming without a word are noticed, and followed anew", async () => {
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
      expect((await r.index.containers()).map(id)).to.deep.equal([fresh]);
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
      expect((await r.index.containers()).map(id)).to.deep.equal([containerId]);
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
        await r.clock.sleep(method === "ping" ? 3_000 : 60_000);
        if (frozen) {
          throw new EngineError({ failure: "timeout", operation: method, message: "no answer" });
        }
      };
      await r.clock.advance(9_000);
      expect(r.index.health.engineReady).to.equal(false);
      for (const { containerId } of pods) r.index.touched(containerId);
      asked = 0;
      await r.clock.advance(300_000);
      expect(asked, "requests in 5 minutes").to.be.at.most(80);
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

function id(entry: ContainerEntry): string {
  return entry.id;
}

function total({ docker }: Rig): number {
  return [...docker.requests.values()].reduce((sum, count) => sum + count, 0);
}

async function failure(work: Promise<unknown>): Promise<CriError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CriError)) throw new Error(`no CriError but ${String(error)}`);
  return error;
}

/** Virtual milliseconds until the answer, to the nearest 10 above. */
async function elapsed({ clock }: Rig, work: Promise<unknown>): Promise<number> {
  const startMs = clock.monotonicMs();
  let done = false;
  const finished = work.finally(() => (done = true));
  for (let turn = 0; turn < 3; turn += 1) await settle();
  while (!done && clock.monotonicMs() - startMs < 20_000) await clock.advance(10);
  await finished;
  return clock.monotonicMs() - startMs;
}

async function statuses(r: Rig, work: Promise<readonly ContainerEntry[]>): Promise<string[]> {
  await elapsed(r, work);
  return (await work).map((entry) => entry.state.Status);
}
