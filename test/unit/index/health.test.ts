import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import { refuse } from "../../support/fake-errors.ts";
import { addPod, rig, type Rig } from "./rig.ts";

/** No answer within the time that a ping is given. */
async function timeOut(r: Rig): Promise<never> {
  await r.clock.sleep(2_000);
  throw new EngineError({ failure: "timeout", operation: "ping", message: "no answer" });
}

function freeze(r: Rig): void {
  r.docker.hooks.before = ({ method }) => (method === "ping" ? timeOut(r) : undefined);
}

describe("the health that the container index tells", () => {
  let r: Rig;
  let running: string[];
  let exited: string[];
  beforeEach(async () => {
    r = await rig();
    const pods = Array.from({ length: 20 }, (_, pod) => addPod(r.docker, `p${pod}`));
    running = pods.map(({ sandboxId }) => sandboxId);
    exited = pods.map(({ containerId }) => containerId);
    for (const id of exited) {
      r.docker.start(id);
      r.docker.exit(id, 0);
    }
    await r.clock.advance(1_000);
  });
  afterEach(async () => {
    await r.index.close();
    expect(r.clock.sleeping, "timers left after close").to.equal(0);
  });

  it("outlives one ping without an answer: no inspect, no new stream", async () => {
    const before = { inspects: r.asked("inspectContainer"), streams: r.asked("events") };
    let missed = 0;
    r.docker.hooks.before = ({ method }) => {
      if (method !== "ping") return undefined;
      missed += 1;
      if (missed === 1) return timeOut(r);
      return undefined;
    };
    // Other requests are not asked for meanwhile: only the pings speak.
    const ready: boolean[] = [];
    for (let ms = 0; ms < 12_000; ms += 250) {
      await r.clock.advance(250);
      ready.push(r.index.health.engineReady);
    }
    expect(missed).to.be.greaterThan(0);
    expect(ready).not.to.include(false);
    expect(r.asked("inspectContainer")).to.equal(before.inspects);
    expect(r.asked("events")).to.equal(before.streams);
  });

  it("does not count a ping against an answer that came while it waited", async () => {
    freeze(r);
    for (let second = 0; second < 30; second += 1) {
      await r.clock.advance(1_000);
      const id = running[0] ?? "";
      await r.index.find("podsandbox", id, { fresh: true });
      expect(r.index.health.engineReady, `after ${second} s`).to.equal(true);
    }
  });

  it("does not count a ping against an answer that somebody else got meanwhile", async () => {
    freeze(r);
    for (let second = 0; second < 30; second += 1) {
      await r.clock.advance(1_000);
      r.index.contact();
      expect(r.index.health.engineReady, `after ${second} s`).to.equal(true);
    }
    await r.index.close();
    const { ageMs } = r.index.health;
    await r.clock.advance(1_000);
    r.index.contact();
    expect(r.index.health.ageMs, "closed").to.equal(ageMs + 1_000);
  });

  it("is not ready within 10 s of the last answer, and the open stream goes on", async () => {
    const before = { inspects: r.asked("inspectContainer"), streams: r.asked("events") };
    r.docker.hooks.before = ({ method }) =>
      method === "ping" || method === "listContainers" ? timeOut(r) : undefined;
    await r.clock.advance(10_000);
    expect(r.index.health).to.include({ engineReady: false, synced: false });
    r.docker.hooks.before = undefined;
    await r.clock.advance(4_000);
    expect(r.index.health).to.include({ engineReady: true, synced: true });
    expect(r.asked("events")).to.equal(before.streams);
    expect(r.asked("inspectContainer"), "nothing was lost").to.equal(before.inspects);
    r.docker.exit(running[0] ?? "", 3);
    await r.clock.advance(100);
    expect(r.index.peek(running[0] ?? "")?.state.ExitCode).to.equal(3);
  });

  it("has nothing inspected after a break that the engine makes good for", async () => {
    const before = r.asked("inspectContainer");
    r.docker.events.cut();
    r.docker.update(running[3] ?? "", { CpuShares: 5 });
    await r.clock.advance(2_000);
    expect(r.index.health.synced).to.equal(true);
    expect(r.asked("inspectContainer") - before).to.equal(1);
    expect(r.index.peek(running[3] ?? "")?.inspect?.HostConfig.CpuShares).to.equal(5);
  });

  it("has what had not ended inspected after a gap, and the rest when it is asked for", async () => {
    const before = r.asked("inspectContainer");
    r.docker.goAway();
    await r.clock.advance(3_000);
    r.docker.update(exited[0] ?? "", { CpuShares: 7 });
    r.docker.events.forget();
    r.docker.comeBack();
    await r.clock.advance(3_000);
    expect(r.index.health.synced).to.equal(true);
    expect(r.asked("inspectContainer") - before).to.equal(running.length);
    const found = await r.index.find("container", exited[0] ?? "");
    expect(found?.inspect?.HostConfig.CpuShares).to.equal(7);
    await r.index.find("container", exited[0] ?? "");
    expect(r.asked("inspectContainer") - before).to.equal(running.length + 1);
  });

  it("misses nothing that happens while the engine subscribes it", async () => {
    const id = running[5] ?? "";
    r.docker.events.beforeListening = async () => {
      // The list and the inspects that follow a subscription are done before the engine listens.
      await r.clock.sleep(900);
      r.docker.update(id, { CpuShares: 9 });
    };
    r.docker.events.forget();
    r.docker.events.cut();
    await r.clock.advance(3_000);
    expect(r.index.health.synced).to.equal(true);
    expect(r.index.peek(id)?.inspect?.HostConfig.CpuShares).to.equal(9);
  });

  it("does not forget a gap because the next break is made good for", async () => {
    const [lost = "", told = ""] = running;
    r.docker.events.fate = () => "drop";
    r.docker.update(lost, { CpuShares: 11 });
    r.docker.events.fate = () => "deliver";
    r.docker.events.forget();
    r.docker.hooks.before = ({ method }) => {
      if (method === "listContainers") throw refuse(500, "list containers", "busy");
    };
    r.docker.events.cut();
    await r.clock.advance(300);
    r.docker.update(told, { CpuShares: 12 });
    await r.clock.advance(100);
    r.docker.events.cut();
    await r.clock.advance(300);
    r.docker.hooks.before = undefined;
    await r.clock.advance(3_000);
    expect(r.index.health.synced).to.equal(true);
    expect(r.index.peek(lost)?.inspect?.HostConfig.CpuShares).to.equal(11);
  });

  it("misses nothing of a break in which the clock was set back, and tells nothing twice", async () => {
    const [first = "", second = ""] = running;
    const heard: string[] = [];
    r.index.onEvent(({ Action, Actor }) => heard.push(`${Action} ${Actor.ID}`));
    r.docker.update(first, { CpuShares: 13 });
    await r.clock.advance(100);
    r.docker.events.cut();
    r.clock.setWall(-60_000);
    r.docker.update(second, { CpuShares: 14 });
    await r.clock.advance(2_000);
    expect(r.index.health.synced).to.equal(true);
    expect(r.index.peek(second)?.inspect?.HostConfig.CpuShares).to.equal(14);
    expect(heard).to.deep.equal([`update ${first}`, `update ${second}`]);
  });
});
