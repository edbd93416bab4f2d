import { expect } from "chai";
import { inspectFacts } from "../../../src/convert/inspect-facts.ts";
import { phaseOf } from "../../../src/index/container-state.ts";
import { CriError } from "../../../src/errors.ts";
import type { FakeRequest } from "../../support/fake-docker.ts";
import { containerName, createBody, podName, rig, type Rig } from "./rig.ts";
import { generator, Notices, Sightings } from "./model-promises.ts";
import { settle } from "./virtual-clock.ts";

const MOST_CONTAINERS = 24;

/**
 * Drives an index over a fake engine at random and checks the promises of the CRI: what an own
 * write did is in the next read, nothing comes back from the dead, no state goes back, reads never
 * wait for a hung inspect beyond their budget, and after the faults end everything agrees.
 */
export class Model {
  readonly seen = new Map<string, number>();
  readonly #rig: Rig;
  readonly #random: () => number;
  readonly #hung = new Map<string, () => void>();
  readonly #late: (() => void)[] = [];
  readonly #sightings: Sightings;
  readonly #notices: Notices;
  #lateRate = 0;
  #faults = true;
  #serial = 0;
  private constructor(rig: Rig, seed: number) {
    this.#rig = rig;
    this.#random = generator(seed);
    this.#sightings = new Sightings(rig.docker);
    const { docker, index } = rig;
    docker.events.fate = ({ Action }) => {
      if (!this.#faults) return "deliver";
      // No list shows it; that a lost one heals with time has a test of its own.
      if (Action === "update") return "hold";
      const dice = this.#random();
      if (dice < 0.1) return "drop";
      if (dice < 0.2) return "duplicate";
      return dice < 0.35 ? "hold" : "deliver";
    };
    docker.hooks.before = (request) => this.#before(request);
    docker.hooks.after = (request) => this.#after(request);
    this.#notices = new Notices(docker, index);
  }

  static async start(seed: number): Promise<Model> {
    return new Model(await rig(), seed);
  }

  async close(): Promise<void> {
    this.#endFaults();
    await this.#rig.index.close();
    expect(this.#rig.clock.sleeping, "timers left after close").to.equal(0);
  }

  async step(): Promise<void> {
    const dice = this.#random();
    if (dice < 0.3) await this.#ownWrite();
    else if (dice < 0.5) this.#foreignWrite();
    else if (dice < 0.62) await this.#rig.clock.advance(Math.floor(this.#random() * 400));
    else if (dice < 0.64) await this.#rig.clock.advance(Math.floor(this.#random() * 9000));
    else if (dice < 0.7) this.#fault();
    else if (dice < 0.75) {
      this.#heal();
      await settle();
    } else await this.#read();
  }

  /** Ends every fault, lets the index repair itself, and compares all three views. */
  async settleAndCompare(): Promise<void> {
    const { clock, docker, index } = this.#rig;
    this.#endFaults();
    await clock.advance(45_000);
    // What ended before a gap in the events is inspected when somebody asks for it.
    for (const { id, name } of docker.containers.values()) {
      const kind = name.startsWith("k8s_POD_") ? "podsandbox" : "container";
      await this.#within(index.find(kind, id), 20, "status after a gap");
    }
    const shown = [
      ...(await this.#within(index.sandboxes(), 300, "sandboxes")),
      ...(await this.#within(index.containers(), 300, "containers")),
    ];
    const byId = new Map(shown.map((entry) => [entry.id, entry]));
    for (const container of docker.containers.values()) {
      const ours = container.name.startsWith("k8s_");
      const entry = byId.get(container.id);
      byId.delete(container.id);
      expect(entry !== undefined, `listed: ${container.name}`).to.equal(ours);
      if (entry === undefined) continue;
      const truth = docker.inspect(container.id);
      expect(entry.dirty, `dirty: ${container.name}`).to.equal(false);
      expect(entry.name).to.equal(container.name);
      expect({ ...entry.state, OOMKilled: false }).to.deep.equal({
        ...truth.State,
        OOMKilled: false,
      });
      if (truth.State.OOMKilled && truth.State.ExitCode !== 0) {
        expect(entry.state.OOMKilled, "OOMKilled").to.equal(true);
      }
      expect(entry.inspect?.HostConfig).to.deep.equal(inspectFacts(truth, false).HostConfig);
      expect(entry.createdAtNs).to.equal(container.createdAtNs);
      const status = await this.#within(index.find(entry.kind, entry.id), 10, "status");
      expect(status, "status is not what the list shows").to.equal(entry);
    }
    expect(
      [...byId.values()].map((entry) => entry.name),
      "shown but gone",
    ).to.deep.equal([]);
    this.#notices.check();
    expect(index.counters.inspectsInFlight).to.equal(0);
    this.#faults = true;
  }

  async #ownWrite(): Promise<void> {
    const { docker, index, engine } = this.#rig;
    const target = this.#pick();
    const dice = this.#random();
    try {
      if (target === undefined || (dice < 0.3 && docker.containers.size < MOST_CONTAINERS)) {
        await this.#create();
        return;
      }
      const { id } = target;
      // A handler would have answered NotFound.
      if (index.peek(id) === undefined) return;
      if (dice < 0.55) {
        await engine.startContainer(id);
        index.touched(id, "running");
        this.#count("start");
        await this.#mustShow(id, "running");
      } else if (dice < 0.75) {
        const ran = await engine.stopContainer(id, 0);
        index.touched(id, ran ? "exited" : undefined);
        this.#count("stop");
        if (ran) await this.#mustShow(id, "stopped");
      } else if (dice < 0.9) {
        await engine.removeContainer(id);
        index.removed(id);
        this.#count("remove");
        await this.#mustShow(id, undefined);
      } else {
        const Memory = 1 + Math.floor(this.#random() * 1000);
        await engine.updateContainer(id, { Memory });
        index.touched(id);
        this.#count("update");
      }
    } catch (error) {
      // The engine is away or refuses: nothing was done.
      if (error instanceof CriError || (error as Error).name === "AssertionError") throw error;
    }
  }

  async #create(): Promise<void> {
    const { engine, index } = this.#rig;
    const number = ++this.#serial;
    const sandbox = this.#random() < 0.4 ? undefined : this.#pick();
    const name = sandbox === undefined ? podName(`p${number}`) : containerName("c", `p${number}`);
    const body = createBody(name, sandbox?.id);
    const { id } = await engine.createContainer(name, body);
    // A create whose answer was lost is only learnt of by event or list.
    if (this.#random() < 0.05) return;
    index.created(id, name, body);
    this.#count("create");
    await this.#mustShow(id, "created");
  }

  #foreignWrite(): void {
    const { docker } = this.#rig;
    if (!docker.reachable) return;
    const target = this.#pick();
    const dice = this.#random();
    try {
      if (dice < 0.05 && docker.containers.size < MOST_CONTAINERS) {
        docker.create(`other-${++this.#serial}`, {
          Image: "busybox:1",
          Labels: {},
          HostConfig: {},
        });
      } else if (target === undefined) return;
      else if (dice < 0.5) {
        docker.exit(target.id, this.#random() < 0.5 ? 0 : 3, { oomKilled: this.#random() < 0.1 });
        this.#count("exit");
      } else if (dice < 0.6) docker.start(target.id);
      else if (dice < 0.7) docker.pause(target.id, target.status === "running");
      else if (dice < 0.75) docker.update(target.id, { CpuShares: 2 + ++this.#serial });
      else if (dice < 0.78) {
        docker.rename(target.id, `gone-${++this.#serial}`);
        this.#count("rename");
      } else if (dice < 0.85) docker.remove(target.id, { force: true });
    } catch {
      // Refused by the engine's own rules: nothing was done.
    }
  }

  #fault(): void {
    const { docker } = this.#rig;
    const dice = this.#random();
    if (dice < 0.35) {
      const target = this.#pick();
      if (target !== undefined && !this.#hung.has(target.id))
        this.#hung.set(target.id, () => undefined);
      this.#count("hang");
    } else if (dice < 0.6) {
      this.#lateRate = 0.3;
    } else if (dice < 0.8) {
      // Docker's stream is in order: nothing is behind an event that was heard, so a resumed stream loses nothing held.
      docker.events.release();
      docker.events.cut();
      this.#count("cut");
    } else if (docker.reachable) {
      docker.goAway();
      this.#count("away");
    }
  }

  #heal(): void {
    const dice = this.#random();
    if (dice < 0.4) this.#rig.docker.events.release();
    else if (dice < 0.6) this.#releaseHung();
    else if (dice < 0.8) {
      this.#lateRate = 0;
      for (const answer of this.#late.splice(0)) answer();
    } else this.#rig.docker.comeBack();
  }

  #endFaults(): void {
    const { docker } = this.#rig;
    this.#faults = false;
    this.#lateRate = 0;
    docker.comeBack();
    docker.events.release();
    this.#releaseHung();
    for (const answer of this.#late.splice(0)) answer();
  }

  #releaseHung(): void {
    for (const release of this.#hung.values()) release();
    this.#hung.clear();
  }

  #before({ method, subject }: FakeRequest): Promise<void> | undefined {
    const earlier = this.#hung.get(subject);
    if (method !== "inspectContainer" || earlier === undefined) return undefined;
    return new Promise((resolve) => {
      this.#hung.set(subject, () => {
        earlier();
        resolve();
      });
    });
  }

  #after({ method }: FakeRequest): Promise<void> | undefined {
    const read = method === "inspectContainer" || method === "listContainers";
    if (!read || this.#random() >= this.#lateRate) return undefined;
    this.#count("late answer");
    return new Promise((resolve) => this.#late.push(resolve));
  }

  async #read(): Promise<void> {
    const { docker, index } = this.#rig;
    const listed = this.#random() < 0.5;
    try {
      if (listed) {
        const both = Promise.all([index.sandboxes(), index.containers()]);
        const [sandboxes, containers] = await this.#within(both, 5_600, "list");
        const entries = [...sandboxes, ...containers];
        for (const entry of entries) this.#sightings.add(entry.id, entry);
        const ids = new Set(entries.map((entry) => entry.id));
        for (const id of this.#sightings.ids())
          if (!ids.has(id)) this.#sightings.add(id, undefined);
        return;
      }
      const target = this.#pick();
      if (target === undefined) return;
      const kind = target.name.startsWith("k8s_POD_") ? "podsandbox" : "container";
      const options = { fresh: this.#random() < 0.2 };
      const entry = await this.#within(index.find(kind, target.id, options), 8_100, "status");
      this.#sightings.add(target.id, entry);
    } catch (error) {
      if (!(error instanceof CriError) || error.kind !== "Unavailable") throw error;
      const excused = !docker.reachable || this.#late.length > 0 || !index.health.engineReady;
      expect(excused, `unavailable without a reason: ${error.message}`).to.equal(true);
    }
  }

  async #mustShow(id: string, phase: "created" | "running" | "stopped" | undefined): Promise<void> {
    const { docker, index } = this.#rig;
    const container = docker.containers.get(id);
    const kind = container?.name.startsWith("k8s_POD_") === true ? "podsandbox" : "container";
    if (container !== undefined && !container.name.startsWith("k8s_")) return;
    try {
      const entry = await this.#within(index.find(kind, id), 8_100, "own read");
      this.#sightings.add(id, entry);
      // A start of what had ended is known by nothing but its inspect, and that may hang.
      if (phase === "running" && this.#slow(id)) return;
      const shown = entry === undefined ? undefined : phaseOf(entry.state);
      if (shown !== phase) expect(shown, "read after own write").to.equal(phase);
    } catch (error) {
      if (!(error instanceof CriError) || error.kind !== "Unavailable") throw error;
    }
  }

  #slow(id: string): boolean {
    return this.#hung.has(id) || this.#late.length > 0 || !this.#rig.docker.reachable;
  }

  /** The answer, with time moving on while it waits; it must come within `budgetMs`. */
  async #within<T>(work: Promise<T>, budgetMs: number, what: string): Promise<T> {
    const progress = { done: false };
    const finished = work.finally(() => (progress.done = true));
    finished.catch(() => undefined);
    let waitedMs = 0;
    await settle();
    while (!progress.done) {
      expect(waitedMs, `${what} takes too long`).to.be.at.most(budgetMs);
      await this.#rig.clock.advance(10);
      waitedMs += 10;
    }
    return await finished;
  }

  #pick(): { id: string; name: string; status: string } | undefined {
    const ids = [...this.#rig.docker.containers.values()];
    return ids[Math.floor(this.#random() * ids.length)];
  }

  #count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}
