import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import fc from "fast-check";
import { silentLogger } from "../../../src/log.ts";
import { isHalfDone } from "../../../src/pods/phases.ts";
import { SandboxModel, wantedPod } from "../../support/sandbox-model.ts";
import type { Outcome } from "../../support/sandbox-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Each is a call, an answer of the engine or of a plugin, or a kill; runs are of any length up to this. */
const stepsOfRun = 500;
const runs = 250;
const stepsInAll = 50_000;
/** A seed of a run that failed goes here; then the run is made as short as it can be, which takes minutes. */
const asked = process.env["DOCKLINE_SANDBOX_SEED"];
const seed = Number(asked ?? 20_261_129);

describe("any life of three pods", () => {
  const folder = tempFolder();
  after(folder.remove);

  it(`keeps the promises of the CRI for ${stepsInAll} steps`, async function () {
    // Half a minute on an idle machine; how long it takes says nothing.
    this.timeout(600_000);
    let steps = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 2 ** 31 - 1 }), {
          minLength: 1,
          maxLength: stepsOfRun,
          size: "max",
        }),
        async (choices) => {
          steps += choices.length;
          // Every other node makes the network namespaces of its pods.
          await new Life(folder.path("docker"), choices.length % 2 === 0).live(choices);
        },
      ),
      { seed, numRuns: runs, endOnFailure: asked === undefined },
    );
    expect(steps).to.be.at.least(stepsInAll);
  });
});

/** One node's life: what was promised to whom, and whether it holds after each step. */
class Life {
  readonly #model: SandboxModel;
  /** Sandboxes that somebody was shown as READY, and those that somebody asked to end. */
  readonly #shown = new Set<string>();
  readonly #asked = new Set<string>();
  readonly #callers = new Set<AbortController>();

  constructor(folder: string, makesNetns: boolean) {
    this.#model = new SandboxModel(folder, 0, makesNetns);
  }

  async live(choices: readonly number[]): Promise<void> {
    for (const choice of choices) {
      this.#step(choice);
      await settled();
      this.#check();
    }
    await this.#endWell();
  }

  #step(choice: number): void {
    const model = this.#model;
    const [kind, detail] = [choice % 100, Math.floor(choice / 100)];
    const pod = detail % 3;
    if (kind < 5) this.#run(pod, detail % 11 === 0 ? 1 : 0);
    else if (kind < 9) this.#end(pod, "stopped", detail % 7 === 0);
    else if (kind < 12) this.#end(pod, "gone", false);
    else if (kind < 16) this.#list();
    else if (kind < 19) this.#addMember(pod);
    else if (kind < 23) [...this.#callers][detail % (this.#callers.size || 1)]?.abort(gone());
    else if (kind < 24) this.#restart(detail % 2 === 0 ? 0 : 1e6);
    else if (kind < 25) this.#pauseDies(pod);
    else {
      const [gate] = model.gates.splice(detail % (model.gates.length || 1), 1);
      gate?.open(outcomes[kind] ?? "done");
    }
  }

  #run(pod: number, form: number): void {
    const caller = this.#caller();
    const wanted = wantedPod(pod, form);
    const before = this.#model;
    void this.#model.sandboxes
      .of(wanted.name)
      .bringTo("ready", wanted, { signal: caller.signal, log: silentLogger })
      .then((id) => {
        if (!before.containers.has(id)) before.broken.push(`${id} was answered and is not there`);
        if (!caller.signal.aborted) this.#shown.add(id);
      }, known)
      .finally(() => this.#callers.delete(caller));
  }

  #end(pod: number, to: "stopped" | "gone", giveUp: boolean): void {
    const model = this.#model;
    const [found] = model.pauseOf(wantedPod(pod, 0).name);
    const id = found?.id ?? model.records.find(({ name }) => name === wantedPod(pod, 0).name)?.id;
    if (id === undefined) return;
    // The kubelet starts and stops in one breath when a pod is deleted young.
    if (pod !== 1) this.#addMember(pod);
    this.#asked.add(id);
    const caller = this.#caller();
    void model.sandboxes
      .find(id)
      .then((known) => known?.sandbox.bringTo(to, known.found, { signal: caller.signal, giveUp }))
      .then(() => {
        if (model.members(id).some(({ running }) => running)) {
          model.broken.push(`${id} was answered as ${to}, and something runs in it`);
        }
        if (model.addresses.has(id)) model.broken.push(`${id} is ${to} and holds an address`);
      }, known)
      .finally(() => this.#callers.delete(caller));
  }

  #caller(): AbortController {
    const caller = new AbortController();
    this.#callers.add(caller);
    return caller;
  }

  /** ListPodSandbox: what it shows as READY is somebody's from then on. */
  #list(): void {
    const ready = this.#readyOnes();
    this.#model.sandboxes.claim(ready);
    for (const { id } of ready) this.#shown.add(id);
  }

  /** As the process that runs now sees it. */
  #readyOnes(): { id: string }[] {
    const { containers, sandboxes } = this.#model;
    return [0, 1, 2].flatMap((pod) => {
      const { record } = sandboxes.of(wantedPod(pod, 0).name);
      const id = record?.id;
      if (record?.phase !== "ready" || id === undefined) return [];
      return containers.get(id)?.running === true ? [{ id }] : [];
    });
  }

  /** CreateContainer and StartContainer, which a pod that is not ready refuses. */
  #addMember(pod: number): void {
    const { name } = wantedPod(pod, 0);
    const ready = this.#readyOnes().find(
      ({ id }) => this.#model.sandboxes.of(name).record?.id === id,
    );
    if (ready === undefined) return;
    this.#model.sandboxes.claim([ready]);
    this.#shown.add(ready.id);
    this.#model.addMember(ready.id);
  }

  #restart(abandonedMs: number): void {
    this.#model.kill();
    this.#callers.clear();
    void this.#model.start(abandonedMs).settle();
  }

  /** Killed behind our back: whoever asks next recreates it. */
  #pauseDies(pod: number): void {
    for (const found of this.#model.pauseOf(wantedPod(pod, 0).name)) {
      found.running = false;
      this.#asked.add(found.id);
    }
  }

  #check(): void {
    expect(this.#model.broken.join(", ")).to.equal("");
    for (const id of this.#shown) {
      if (this.#asked.has(id)) continue;
      const { phase } = this.#model.recordOf(id) ?? {};
      expect(phase, `${id} was shown as READY and nobody asked for its end`).to.equal("ready");
      expect(this.#model.containers.get(id)?.running).to.equal(true);
    }
  }

  /** kill -9, and no further call: what is owed is done. Then all can be removed, and nothing is left. */
  async #endWell(): Promise<void> {
    const model = this.#model;
    this.#restart(1e6);
    await this.#openAll();
    // What could not be removed before is collected after a start.
    for (const path of model.namespaces) {
      if (model.records.every(({ ownNetns }) => ownNetns !== path)) model.namespaces.delete(path);
    }
    const halfDone = model.records.filter(isHalfDone).map(({ name, phase }) => `${name} ${phase}`);
    expect(halfDone, "half-done after a restart").to.deep.equal([]);
    for (const [id] of model.addresses) {
      expect(model.recordOf(id)?.network, `${id} holds an address`).to.not.equal(undefined);
    }
    this.#check();
    const ids = new Set([
      ...model.records.map(({ id }) => id ?? ""),
      ...[0, 1, 2].flatMap((pod) => model.pauseOf(wantedPod(pod, 0).name).map(({ id }) => id)),
    ]);
    const removals = [...ids].map(async (id) => {
      this.#asked.add(id);
      const known = await model.sandboxes.find(id);
      await known?.sandbox.bringTo("gone", known.found, {});
    });
    await Promise.all([Promise.all(removals), this.#openAll()]);
    expect(model.broken.join(", ")).to.equal("");
    const pinned = [...model.namespaces];
    expect(pinned, "namespaces that no pod has").to.deep.equal([]);
    // A dead container that Docker would not remove when a retry needed its place may stay.
    const left = [...model.containers.values()].filter(
      ({ running, name }) => running || name.startsWith("k8s_POD"),
    );
    expect(left.map(({ name }) => name)).to.deep.equal([]);
    expect([...model.addresses]).to.deep.equal([]);
    expect(model.records).to.deep.equal([]);
  }

  async #openAll(): Promise<void> {
    for (let idle = 0; idle < 3;) {
      await settled();
      const gate = this.#model.gates.shift();
      idle = gate === undefined ? idle + 1 : 0;
      gate?.open("done");
    }
  }
}

const outcomes: Partial<Record<number, Outcome>> = {
  25: "failed",
  26: "failed",
  27: "failed",
  28: "lost",
  29: "lost",
};

const gone = (): Error => new Error("the caller has gone");

/** What calls end with; anything else than these is a fault of the Sandbox. */
function known(error: unknown): void {
  if (error instanceof TypeError) throw error;
}

/** Until nothing moves but what waits at a gate. */
async function settled(): Promise<void> {
  await turn();
  while (process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq"))) await turn();
}
