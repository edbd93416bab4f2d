import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { EngineError } from "../../../src/engine/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { CniError } from "../../../src/network/cni-error.ts";
import { isHalfDone } from "../../../src/pods/phases.ts";
import type { SandboxRecord } from "../../../src/state/sandbox-records.ts";
import { SandboxModel, wantedPod } from "../../support/sandbox-model.ts";
import type { Outcome } from "../../support/sandbox-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const noBridge = { plugin: "model", verb: "DEL", failure: "plugin" } as const;

describe("a pod that failed on its way", () => {
  const folder = tempFolder();
  after(folder.remove);
  const wanted = wantedPod(0, 0);
  let model: SandboxModel;
  beforeEach(() => (model = new SandboxModel(folder.path("docker"), 1e6)));

  /** What `work` ends with, or its error, when each effect is answered as `answers` says. */
  const drive = async <T>(
    work: Promise<T>,
    answers: (what: string) => Outcome = () => "done",
  ): Promise<T | Error> => {
    let ended = false;
    const outcome = work
      .catch((error: unknown) => error as Error)
      .finally(() => {
        ended = true;
      });
    while (!ended) {
      await settled();
      const gate = model.gates.shift();
      gate?.open(answers(gate.what));
    }
    return await outcome;
  };
  /** The first `times` answers to `what` are failures. */
  const failing = (failures: Record<string, number>) => {
    const left = { ...failures };
    return (what: string): Outcome => {
      const times = left[what] ?? 0;
      left[what] = times - 1;
      return times > 0 ? "failed" : "done";
    };
  };
  const run = async (signal = new AbortController().signal): Promise<string> => {
    return await model.sandboxes
      .of(wanted.name)
      .bringTo("ready", wanted, { signal, log: silentLogger });
  };
  const end = async (to: "stopped" | "gone"): Promise<void> => {
    const [pause] = model.pauseOf(wanted.name);
    const known = await model.sandboxes.find(pause?.id ?? "");
    await known?.sandbox.bringTo(to, known.found, {});
  };
  const record = (): SandboxRecord | undefined => model.sandboxes.of(wanted.name).record;
  /** Goes on until `what` waits for its answer. */
  const reach = async (what: string): Promise<void> => {
    for (;;) {
      await settled();
      if (model.gates[0]?.what === what) return;
      model.gates.shift()?.open("done");
    }
  };
  /** kill -9 once `what` waits for its answer, and a new process. */
  const killAt = async (work: Promise<unknown>, what: string): Promise<void> => {
    work.catch(() => undefined);
    await reach(what);
    model.kill();
    model.start(1e6);
  };

  it("is not called stopped while its pause container may run, and is settled", async () => {
    await drive(run(), failing({ ADD: 1, remove: 1, kill: 1 }));
    expect(model.pauseOf(wanted.name).map(({ running }) => running)).to.deep.equal([true]);
    expect(isHalfDone(record())).to.equal(true);
    await drive(model.sandboxes.settle());
    expect(model.pauseOf(wanted.name).map(({ running }) => running)).to.deep.equal([false]);
    expect(record()?.phase).to.equal("stopped");
  });

  it("has its DEL tried twice between calls: after half an ADD it fails once", async () => {
    await killAt(run(), "ADD");
    expect(record()?.phase).to.equal("networking");
    await drive(model.sandboxes.settle(), failing({ DEL: 1 }));
    expect(record()).to.deep.include({ phase: "stopped" }).and.not.have.any.keys("network");
  });

  it("keeps the result of its ADD for DEL when the disk is full by then", async () => {
    let wasAdded = false;
    await drive(run(), (what) => {
      wasAdded ||= what === "ADD";
      return what === "DEL" || (wasAdded && what === "disk") ? "failed" : "done";
    });
    const { network, ips } = record() ?? {};
    expect(network).to.have.property("result");
    expect(ips).to.have.length(1);
  });

  it("is settled with seven others at most, however many there are", async () => {
    const { signal } = new AbortController();
    const runs = Array.from({ length: 12 }, async (_, index) => {
      const { name, ...more } = wantedPod(10 + index, 0);
      return await model.sandboxes
        .of(name)
        .bringTo("ready", { name, ...more }, { signal, log: silentLogger });
    });
    for (const work of runs) work.catch(() => undefined);
    let attached = 0;
    while (attached < 12) {
      await settled();
      attached = model.gates.filter(({ what }) => what === "ADD").length;
      const at = model.gates.findIndex(({ what }) => what !== "ADD");
      if (at >= 0) model.gates.splice(at, 1)[0]?.open("done");
    }
    model.kill();
    const work = model.start(1e6).settle();
    await settled();
    expect(model.gates).to.have.length(8);
    await drive(work);
    expect(model.records.map(({ phase }) => phase)).to.deep.equal(Array(12).fill("stopped"));
  });

  it("keeps its namespace for a second DEL after a stop that was only cut off", async () => {
    await drive(run());
    await killAt(end("stopped"), "DEL");
    expect(record()?.phase).to.equal("stopping");
    await drive(end("stopped"), failing({ DEL: 1 }));
    expect(model.pauseOf(wanted.name).map(({ running }) => running)).to.deep.equal([true]);
    await drive(end("stopped"), failing({ DEL: 1 }));
    expect(model.pauseOf(wanted.name).map(({ running }) => running)).to.deep.equal([false]);
  });

  it("is not taken away as unclaimed when a stop came while it was finished", async () => {
    let discard = (): void => undefined;
    const { setTimeout: realTimeout } = globalThis;
    globalThis.setTimeout = ((work: () => void) => {
      discard = work;
      return { unref: () => "timer" };
    }) as never;
    const caller = new AbortController();
    const made = run(caller.signal);
    made.catch(() => undefined);
    await reach("ADD");
    caller.abort(new Error("the caller has gone"));
    const stopped = end("stopped");
    await settled();
    await drive(Promise.all([made, stopped]));
    globalThis.setTimeout = realTimeout;
    expect(record()?.phase).to.equal("stopped");
    discard();
    await settled();
    expect(model.gates.map(({ what }) => what)).to.deep.equal([]);
  });

  it("says why its DEL failed although the kill after it fails, too", async () => {
    await drive(run());
    // Its state folder is lost.
    model.records = [];
    model.start(1e6);
    model.legacyDel = () => Promise.reject(new CniError(noBridge, "no such bridge"));
    const error = await drive(end("stopped"), failing({ kill: 1 }));
    expect(error).to.be.instanceOf(EngineError);
    const id = model.pauseOf(wanted.name)[0]?.id ?? "";
    const told = (ofId: string): string | undefined =>
      model.sandboxes.delFailureOf(wanted.name, ofId);
    expect(told(id)).to.include("no such bridge");
    expect(told("f".repeat(64)), "of another pod with that name").to.equal(undefined);
    model.containers.clear();
    await drive(model.sandboxes.settle());
    expect(told(id), "once Docker has lost it").to.equal(undefined);
  });
});

/** Until nothing moves but what waits at a gate. */
async function settled(): Promise<void> {
  await turn();
  while (process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq"))) await turn();
}
