import { expect } from "chai";
import { parseTimeNs } from "../../../src/convert/time.ts";
import type { ContainerEntry, ContainerIndex } from "../../../src/index/container-index.ts";
import { phaseOf } from "../../../src/index/container-state.ts";
import type { FakeDocker } from "../../support/fake-docker.ts";

/** Same seed, same sequence (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Sighting {
  gone: boolean;
  /** End of the newest run that was shown as ended. */
  endedNs: bigint;
}

/** What reads have shown so far: nothing comes back from the dead, and no state goes back. */
export class Sightings {
  readonly #docker: FakeDocker;
  readonly #sightings = new Map<string, Sighting>();
  constructor(docker: FakeDocker) {
    this.#docker = docker;
  }

  ids(): Iterable<string> {
    return this.#sightings.keys();
  }

  add(id: string, entry: ContainerEntry | undefined): void {
    const before = this.#sightings.get(id);
    const container = this.#docker.containers.get(id);
    if (entry === undefined) {
      // A foreign rename takes it out of our sight; removal is for good.
      if (before !== undefined && container === undefined) before.gone = true;
      return;
    }
    expect(before?.gone ?? false, `resurrected: ${entry.name}`).to.equal(false);
    const sighting = before ?? { gone: false, endedNs: 0n };
    this.#sightings.set(id, sighting);
    const finishedNs = parseTimeNs(entry.state.FinishedAt);
    switch (phaseOf(entry.state)) {
      case "stopped":
        if (finishedNs > sighting.endedNs) sighting.endedNs = finishedNs;
        break;
      case "running": {
        const startedNs = container?.startedAtNs ?? sighting.endedNs + 1n;
        expect(startedNs > sighting.endedNs, `running after its end: ${entry.name}`).to.equal(true);
        break;
      }
      default:
        expect(sighting.endedNs, `created after its end: ${entry.name}`).to.equal(0n);
    }
  }
}

/** What listeners heard: each step once, in order, and the last one is the truth. */
export class Notices {
  readonly #docker: FakeDocker;
  readonly #told = new Map<string, string[]>();
  constructor(docker: FakeDocker, index: ContainerIndex) {
    this.#docker = docker;
    index.onChange(({ kind, entry }) => {
      const told = this.#told.get(entry.id) ?? [];
      this.#told.set(entry.id, told);
      told.push(kind);
    });
  }

  /** To be called when index and engine are meant to agree. */
  check(): void {
    for (const [id, told] of this.#told) {
      const text = told.join(" ");
      // A run that nobody told of has no "started"; its end is reported when it is seen.
      expect(text, "order of notices").to.match(
        /^created( started stopped| stopped)*( started)?( deleted)?$/,
      );
      expect(text, "notices").not.to.match(/started started|stopped stopped|started deleted/);
      const container = this.#docker.containers.get(id);
      if (container === undefined) {
        expect(text.endsWith("deleted"), `no deleted notice: ${text}`).to.equal(true);
        this.#told.delete(id);
      } else if (container.name.startsWith("k8s_")) {
        const phase = phaseOf(this.#docker.inspect(id).State);
        const last = { created: "created", running: "started", stopped: "stopped" }[phase];
        expect(told.at(-1), "last notice").to.equal(last);
      }
    }
  }
}
