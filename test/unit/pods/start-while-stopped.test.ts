import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { SandboxModel, wantedPod } from "../../support/sandbox-model.ts";
import type { Outcome } from "../../support/sandbox-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

/** A pod that is ready, with one container that StartContainer is about to start. */
async function scene(folder: string) {
  const model = new SandboxModel(folder, 0);
  const open = async (what: string, outcome: Outcome = "done"): Promise<void> => {
    await until(() => model.gates.some((gate) => gate.what === what));
    const at = model.gates.findIndex((gate) => gate.what === what);
    model.gates.splice(at, 1)[0]?.open(outcome);
    for (let round = 0; round < 20; round += 1) await turn();
  };
  /** Opens every gate until the work is done. */
  const finish = async <T>(work: Promise<T>): Promise<T> => {
    let done = false;
    const result = work.finally(() => (done = true));
    while (!done) {
      model.gates.shift()?.open("done");
      await turn();
    }
    return await result;
  };
  const wanted = wantedPod(0, 0);
  const sandbox = model.sandboxes.of(wanted.name);
  const { signal } = new AbortController();
  const id = await finish(sandbox.bringTo("ready", wanted, { signal, log: silentLogger }));
  model.addMember(id);
  const stop = async (): Promise<void> => {
    const known = await model.sandboxes.find(id);
    await known?.sandbox.bringTo("stopped", known.found, {});
    expect(model.members(id).map(({ running }) => running)).to.deep.equal([false]);
  };
  const waiting = (): string[] => model.gates.map(({ what }) => what).sort();
  return { model, id, open, finish, stop, waiting };
}

describe("a pod that is stopped while one of its containers is started", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => (folder = tempFolder()));
  afterEach(() => folder.remove());

  it("keeps its address until the start that Docker has is over and the container killed", async () => {
    const { model, open, finish, stop, waiting } = await scene(folder.path("docker"));
    await open("prepare");
    const stopped = stop();
    await open("disk");
    expect(waiting(), "Docker has the start, then the kill").to.deep.equal(["start"]);
    await open("start");
    expect(waiting()).to.deep.equal(["kill"]);
    await finish(stopped);
    expect(model.broken).to.deep.equal([]);
  });

  it("has no start sent to Docker any more", async () => {
    const { open, finish, stop, waiting } = await scene(folder.path("docker"));
    const stopped = stop();
    await open("disk");
    await open("prepare");
    expect(waiting()).not.to.include("start");
    await finish(stopped);
  });

  it("has a container killed that came up after the first look", async () => {
    const { model, id, open, finish, stop } = await scene(folder.path("docker"));
    await open("prepare", "failed");
    const stopped = stop();
    await open("disk");
    await open("DEL");
    await open("disk");
    // Its start was lost on the way and reaches Docker now.
    for (const member of model.members(id)) Object.assign(member, { running: true, started: true });
    await finish(stopped);
  });
});
