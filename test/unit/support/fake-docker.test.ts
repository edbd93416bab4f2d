import { Readable } from "node:stream";
import { expect } from "chai";
import { pack } from "tar-stream";
import { EngineError } from "../../../src/engine/errors.ts";
import type { ContainerCreate, EngineEvent } from "../../../src/engine/types.ts";
import { FakeDocker } from "../../support/fake-docker.ts";
import { lost } from "../../support/fake-errors.ts";
import { fullName } from "../../support/fake-images.ts";

const body: ContainerCreate = { Image: "busybox:1", Labels: { a: "b" }, HostConfig: {} };

async function statusOf(work: Promise<unknown> | (() => unknown)): Promise<number> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    expect(error).to.be.instanceOf(EngineError);
    return (error as EngineError).status;
  }
  return 200;
}

function newDocker(): FakeDocker {
  const docker = new FakeDocker();
  docker.images.add({ references: ["busybox:1"] });
  return docker;
}

/** Follows in the background; `stop` gives what came. */
async function follow(docker: FakeDocker): Promise<{ stop: () => Promise<EngineEvent[]> }> {
  const controller = new AbortController();
  const seen: EngineEvent[] = [];
  let done: Promise<void> | undefined;
  await new Promise<void>((onSubscribed) => {
    done = (async () => {
      const options = { signal: controller.signal, onSubscribed };
      for await (const event of docker.asEngine().events({}, options)) seen.push(event);
    })();
  });
  return {
    stop: async () => {
      await new Promise(setImmediate);
      controller.abort();
      await done;
      return seen;
    },
  };
}

describe("FakeDocker", () => {
  it("has Docker's states, times and exit codes", async () => {
    const docker = newDocker();
    const engine = docker.asEngine();
    const { id } = await engine.createContainer("one", body);
    expect((await engine.inspectContainer(id)).State).to.include({
      Status: "created",
      Pid: 0,
      StartedAt: "0001-01-01T00:00:00Z",
      FinishedAt: "0001-01-01T00:00:00Z",
    });
    await engine.startContainer(id);
    const running = (await engine.inspectContainer(id)).State;
    expect(running).to.include({ Status: "running", Running: true, ExitCode: 0 });
    expect(running.Pid).to.be.greaterThan(0);
    expect(running.StartedAt).to.match(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
    docker.exit(id, 137, { oomKilled: true });
    expect((await engine.inspectContainer(id)).State).to.include({
      Status: "exited",
      Running: false,
      Pid: 0,
      ExitCode: 137,
      OOMKilled: true,
    });
    expect((await engine.listContainers([]))[0]).to.include({ State: "exited" });
    expect(await engine.startContainer(id)).to.equal(true);
    expect((await engine.inspectContainer(id)).State).to.include({ ExitCode: 0, OOMKilled: false });
  });

  it("refuses as Docker does", async () => {
    const docker = newDocker();
    const engine = docker.asEngine();
    expect(await statusOf(engine.createContainer("x!", body))).to.equal(400);
    expect(await statusOf(engine.createContainer("one", { ...body, Image: "none" }))).to.equal(404);
    const { id } = await engine.createContainer("one", body);
    expect(await statusOf(engine.createContainer("one", body))).to.equal(409);
    expect(await statusOf(engine.killContainer(id, "KILL"))).to.equal(409);
    await engine.startContainer(id);
    expect(await statusOf(() => docker.remove(id, { force: false }))).to.equal(409);
    await engine.removeContainer(id);
    expect(await statusOf(engine.removeContainer(id))).to.equal(404);
    expect((await engine.createContainer("one", body)).id).not.to.equal(id);
  });

  it("tells events in order, with rising times", async () => {
    const docker = newDocker();
    const following = await follow(docker);
    const { id } = docker.create("one", body);
    docker.start(id);
    docker.exit(id, 137, { oomKilled: true });
    docker.start(id);
    await docker.stop(id, 1);
    docker.remove(id, { force: true });
    const events = await following.stop();
    expect(events.map((e) => e.Action)).to.deep.equal([
      "create",
      "start",
      "oom",
      "die",
      "start",
      "kill",
      "die",
      "stop",
      "destroy",
    ]);
    expect(events[3]?.Actor.Attributes).to.include({ exitCode: "137", name: "one", a: "b" });
    for (const [i, event] of events.entries()) {
      if (i > 0) expect(event.timeNano > (events[i - 1]?.timeNano ?? 0n)).to.equal(true);
    }
  });

  it("loses, doubles and holds events back on demand", async () => {
    const docker = newDocker();
    docker.events.fate = ({ Action }) =>
      Action === "create" ? "drop" : Action === "start" ? "duplicate" : "hold";
    const following = await follow(docker);
    const { id } = docker.create("one", body);
    docker.start(id);
    docker.exit(id, 1);
    docker.remove(id, { force: true });
    await new Promise(setImmediate);
    docker.events.release();
    expect((await following.stop()).map((e) => e.Action)).to.deep.equal([
      "start",
      "start",
      "destroy",
      "die",
    ]);
    expect(docker.events.listeners).to.equal(0);
  });

  it("fails, hangs and loses answers on demand", async () => {
    const docker = newDocker();
    const engine = docker.asEngine();
    docker.hooks.after = ({ method }) => {
      if (method === "createContainer") throw lost(method);
    };
    const gone = engine.createContainer("one", body);
    expect(await statusOf(gone)).to.equal(0);
    expect(docker.containers.size).to.equal(1);
    docker.hooks.before = () => new Promise<void>(() => undefined);
    const hung = engine.inspectContainer("one", { timeoutMs: 20 });
    expect(await hung.catch((e: unknown) => (e as EngineError).failure)).to.equal("timeout");
    docker.hooks.before = undefined;
    docker.goAway();
    expect(await engine.ping().catch((e: unknown) => (e as EngineError).failure)).to.equal(
      "unreachable",
    );
    docker.comeBack();
    expect((await engine.inspectContainer("one")).State.Status).to.equal("created");
    expect(docker.requests.get("inspectContainer")).to.equal(2);
  });

  it("knows images by every name they have", async () => {
    expect(fullName("busybox")).to.equal("docker.io/library/busybox:latest");
    expect(fullName("a/b@sha256:00")).to.equal("docker.io/a/b@sha256:00");
    expect(fullName("localhost:5000/a")).to.equal("localhost:5000/a:latest");
    const docker = newDocker();
    const engine = docker.asEngine();
    const { Id } = await engine.inspectImage("docker.io/library/busybox:1");
    expect((await engine.inspectImage(Id.slice(7, 19))).Id).to.equal(Id);
    await engine.tagImage("busybox:1", "other", "2");
    expect(await statusOf(engine.removeImage(Id))).to.equal(409);
    await engine.removeImage("other:2");
    await engine.createContainer("one", body);
    expect(await statusOf(engine.removeImage("busybox:1"))).to.equal(409);
    await engine.removeContainer("one");
    await engine.removeImage("busybox:1");
    expect(await engine.listImages()).to.deep.equal([]);
  });

  it("loads what docker save wrote", async () => {
    const docker = newDocker();
    const archive = pack();
    archive.entry({ name: "c.json" }, JSON.stringify({ config: { Labels: { l: "1" } } }));
    archive.entry(
      { name: "manifest.json" },
      JSON.stringify([{ Config: "c.json", RepoTags: ["pause:1"] }]),
    );
    archive.finalize();
    await docker.asEngine().loadImage(Readable.from(archive));
    expect((await docker.asEngine().inspectImage("pause:1")).Config?.Labels).to.deep.equal({
      l: "1",
    });
  });

  it("serves some ten thousand steps a second", async () => {
    const docker = newDocker();
    const engine = docker.asEngine();
    const startedAt = performance.now();
    for (let i = 0; i < 2000; i += 1) {
      const { id } = await engine.createContainer(`c${i}`, body);
      await engine.startContainer(id);
      await engine.inspectContainer(id);
      if (i % 100 === 0) await engine.listContainers([]);
      await engine.removeContainer(id);
    }
    expect(performance.now() - startedAt).to.be.lessThan(4000);
  });
});
