import { readFileSync, readdirSync } from "node:fs";
import type { TestNode } from "../support/node.ts";
import { nodeState } from "../support/node-state.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { memoryOf, withDescendants } from "../bench/processes.ts";
import { readGoroutines } from "./goroutines.ts";

/** What must be flat while the node is at rest: no pod, no fault, no call under way. */
export interface Gauges {
  /** Minutes since the start. */
  atMinutes: number;
  /** VmRSS of Dockline and its helpers. */
  residentMib: number;
  descriptors: number;
  processes: number;
  zombies: number;
  /** Docker requests under way, the stream of events aside. */
  openRequests: number;
  /** Both without what belongs to attaches that Docker 20.10 leaves behind by itself. */
  engineGoroutines: number;
  engineDescriptors: number;
  /** Those attaches; told, and not judged. */
  leftAttaches: number;
  containers: number;
  netns: number;
  mounts: number;
  links: number;
  addresses: number;
  records: number;
}

export type GaugeName = Exclude<keyof Gauges, "atMinutes" | "leftAttaches">;

export async function readGauges(
  node: TestNode,
  engine: PrivateEngine,
  atMinutes: number,
): Promise<Gauges> {
  const state = nodeState(node);
  const { residentMib, processes } = memoryOf(node.pid);
  const { attaches, other } = await readGoroutines(engine);
  return {
    atMinutes,
    residentMib,
    processes,
    descriptors: readdirSync(`/proc/${node.pid}/fd`).length,
    zombies: withDescendants(node.pid).filter(isZombie).length,
    openRequests: openRequests(node).length,
    engineGoroutines: other,
    leftAttaches: attaches,
    engineDescriptors: readdirSync(`/proc/${engine.pid()}/fd`).length - attaches,
    containers: state.containers.length,
    netns: state.netns.length,
    mounts: state.mounts.length,
    links: state.links.length,
    addresses: state.addresses.length,
    records: state.records.length + state.logPositions.length,
  };
}

/** Those under way, as "POST /containers/{id}/attach, 12 s"; forgets those that are over. */
export function openRequests(node: TestNode): string[] {
  const { requests } = node.proxy;
  requests.splice(0, Infinity, ...requests.filter(({ closed }) => !closed));
  return requests
    .filter(({ route }) => route !== "/events")
    .map(({ method, route, id, startedAt, fault }) => {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
      return `${method} ${route} ${id.slice(0, 12)} ${fault ?? ""} ${seconds} s`;
    });
}

/** How far a gauge may be above its first reading after the warm-up; what is counted must be equal. */
const slack: Partial<Record<GaugeName, number>> = {
  // A heap grows in steps, and its size at one moment says little: the slope is for long runs.
  residentMib: 40,
  // Connections to the engine are pooled, those of clients come and go.
  descriptors: 12,
  processes: 1,
  // A list or an inspect may be under way at the moment of the reading.
  openRequests: 2,
  // Some come with the first use of a part of the engine, connections have two each.
  engineGoroutines: 30,
  engineDescriptors: 20,
};

export interface Verdict {
  name: string;
  passed: boolean;
  text: string;
}

/**
 * What may stay of thousands of attaches and execs whose clients left: Docker 20.10 closes each one's
 * descriptor only when Go's garbage collector finds it (200 left attaches by its API alone: 199 more).
 */
export const slackOfRounds: typeof slack = { engineDescriptors: 5000 };

/** Verdicts with what they are about before their names. */
export const about = (what: string, verdicts: readonly Verdict[]): Verdict[] =>
  verdicts.map((each) => ({ ...each, name: `${what}: ${each.name}` }));

/** Judges the readings at rest: the first is the baseline. `other`: further slack than usual. */
export function judge(readings: readonly Gauges[], other: typeof slack = {}): Verdict[] {
  const first = readings[0];
  const last = readings.at(-1);
  if (first === undefined || last === undefined || readings.length < 2) {
    return [{ name: "readings", passed: false, text: `only ${readings.length}` }];
  }
  const names = Object.keys(first).filter(
    (name) => name !== "atMinutes" && name !== "leftAttaches",
  ) as GaugeName[];
  // After the first, and the lower counts: one reading may fall into a moment of work.
  const lastTwo = readings.slice(1).slice(-2);
  const verdicts = names.map((name): Verdict => {
    const end = Math.min(...lastTwo.map((reading) => reading[name]));
    const passed = end <= first[name] + (other[name] ?? slack[name] ?? 0);
    return { name, passed, text: `${round(first[name])} → ${round(end)}` };
  });
  // Caches and heaps fill up in the first hour; less than an hour after it says nothing in MiB/h.
  const later = readings.filter(({ atMinutes }) => atMinutes >= 60);
  const minutes = last.atMinutes - (later[0]?.atMinutes ?? Infinity);
  if (minutes >= 60) {
    const slope = memorySlope(later);
    verdicts.push({
      name: "memory slope",
      passed: slope < 1,
      text: `${slope.toFixed(2)} MiB/h in ${minutes.toFixed(0)} min after the first hour, less than 1 is wanted`,
    });
  }
  return verdicts;
}

/** MiB of resident memory by which an hour's readings differ. */
export function memorySlope(readings: readonly Gauges[]): number {
  return slopeOf(readings.map(({ atMinutes, residentMib }) => [atMinutes / 60, residentMib]));
}

/** Least squares. */
export function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (at: 0 | 1): number => points.reduce((sum, p) => sum + p[at], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const over = points.reduce((sum, p) => sum + (p[0] - x) * (p[1] - y), 0);
  const under = points.reduce((sum, p) => sum + (p[0] - x) ** 2, 0);
  return under === 0 ? 0 : over / under;
}

function isZombie(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
