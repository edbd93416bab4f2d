/*
 * src/stats: figures of containers, pods and disks from the kernel's files.
 * Not here: requests to Docker, and the form of an answer (src/figures).
 */
import { clearInterval, setImmediate, setInterval } from "node:timers";
import type { Clock } from "../sys/clock.ts";
import { cgroupFoldersOf, parentFolders, readCgroupMounts } from "./cgroup-paths.ts";
import type { CgroupFolders, CgroupMounts } from "./cgroup-paths.ts";
import { openCgroupV1 } from "./cgroup-v1.ts";
import { openCgroupV2 } from "./cgroup-v2.ts";
import { allFigures } from "./figures.ts";
import type { Cgroup, CgroupDetails, CgroupFigures, WantedFigures } from "./figures.ts";
import { KernelFiles } from "./kernel-files.ts";
import { DescriptorBudget } from "./kept-file.ts";

/** A running container of Docker's, a pause container included. */
export interface SampleTarget {
  /** Full id. */
  id: string;
  /** Its first process, on the host. */
  pid: number;
}

export interface SamplerDeps {
  clock: Clock;
  /** Everything that runs now, for the rates between calls. */
  running(): Promise<readonly SampleTarget[]>;
  /** Root of the proc file system. */
  proc?: string;
  mounts?: CgroupMounts;
  budget?: DescriptorBudget;
  /** Milliseconds between readings of CPU time when nobody asks (10 000). */
  tickMs?: number;
}

/** A rate over less than this is noise: a scheduler tick is up to 10 ms. */
const shortestRateMs = 1_000;
/** How long a sweep may hold the event loop. */
const sliceMs = 4;

interface Tracked {
  pid: number;
  cgroup: Cgroup;
  parent: Tracked | undefined;
  rate: { atMs: number; usageNs: bigint; nanoCores: bigint | undefined } | undefined;
}

/**
 * Figures of containers and pods from their cgroups, without a request to the engine. Descriptors
 * are kept from the first reading until the container stops.
 */
export class Sampler {
  readonly #deps: SamplerDeps;
  readonly #mounts: CgroupMounts;
  readonly #budget: DescriptorBudget;
  readonly #files = new KernelFiles();
  readonly #tracked = new Map<string, Tracked>();
  #timer: NodeJS.Timeout | undefined;
  #ticking = false;

  constructor(deps: SamplerDeps) {
    this.#deps = deps;
    this.#mounts = deps.mounts ?? readCgroupMounts(deps.proc);
    this.#budget = deps.budget ?? new DescriptorBudget();
  }

  /** Begins to take readings in the background, so that the first caller gets a rate. */
  start(onError: (error: unknown) => void): void {
    this.#timer = setInterval(() => {
      if (this.#ticking) return;
      this.#ticking = true;
      this.#tick()
        .catch(onError)
        .finally(() => {
          this.#ticking = false;
        });
    }, this.#deps.tickMs ?? 10_000);
    this.#timer.unref();
  }

  /** Undefined when the container has gone, or went while it was read. */
  container(target: SampleTarget, wanted = allFigures): CgroupFigures | undefined {
    const tracked = this.#track(target);
    return tracked === undefined ? undefined : this.#read(tracked, wanted);
  }

  /** The cgroup that holds all of a pod's containers, found through its pause container. */
  parentOf(target: SampleTarget): CgroupFigures | undefined {
    const parent = this.#parent(target);
    return parent === undefined ? undefined : this.#read(parent, allFigures);
  }

  details(target: SampleTarget): CgroupDetails | undefined {
    return this.#track(target)?.cgroup.details(this.#files);
  }

  parentDetails(target: SampleTarget): CgroupDetails | undefined {
    return this.#parent(target)?.cgroup.details(this.#files);
  }

  /** Path of the container's cgroup, as cAdvisor names it. */
  pathOf(target: SampleTarget): string {
    return this.#track(target)?.cgroup.path ?? "";
  }

  parentPathOf(target: SampleTarget): string {
    return this.#parent(target)?.cgroup.path ?? "";
  }

  /** Lets go of a container that stopped. */
  drop(id: string): void {
    const tracked = this.#tracked.get(id);
    if (tracked === undefined) return;
    this.#tracked.delete(id);
    tracked.cgroup.close();
    tracked.parent?.cgroup.close();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const id of [...this.#tracked.keys()]) this.drop(id);
  }

  /** Calls `visit` for each, and gives the event loop its turn every few milliseconds. */
  async sweep<T>(targets: readonly T[], visit: (target: T) => void): Promise<void> {
    let sliceEnd = performance.now() + sliceMs;
    for (const target of targets) {
      if (performance.now() > sliceEnd) {
        await new Promise((resolve) => setImmediate(resolve));
        sliceEnd = performance.now() + sliceMs;
      }
      visit(target);
    }
  }

  async #tick(): Promise<void> {
    const running = await this.#deps.running();
    const ids = new Set(running.map(({ id }) => id));
    for (const id of [...this.#tracked.keys()]) if (!ids.has(id)) this.drop(id);
    await this.sweep(running, (target) => {
      const tracked = this.#track(target);
      if (tracked === undefined) return;
      for (const each of [tracked, tracked.parent]) {
        const usageNs = each?.cgroup.cpuUsageNs();
        if (each !== undefined && usageNs !== undefined) this.#rate(each, usageNs);
      }
    });
  }

  #track({ id, pid }: SampleTarget): Tracked | undefined {
    const known = this.#tracked.get(id);
    if (known?.pid === pid) return known;
    if (known !== undefined) this.drop(id);
    if (pid <= 0) return undefined;
    const folders = cgroupFoldersOf(this.#mounts, pid, id, this.#deps.proc);
    if (folders === undefined) return undefined;
    const tracked: Tracked = {
      pid,
      cgroup: this.#open(folders),
      parent: undefined,
      rate: undefined,
    };
    this.#tracked.set(id, tracked);
    return tracked;
  }

  #parent(target: SampleTarget): Tracked | undefined {
    const tracked = this.#track(target);
    if (tracked === undefined || tracked.parent !== undefined) return tracked?.parent;
    const folders = cgroupFoldersOf(this.#mounts, target.pid, target.id, this.#deps.proc);
    if (folders === undefined) return undefined;
    tracked.parent = {
      pid: target.pid,
      cgroup: this.#open(parentFolders(folders)),
      parent: undefined,
      rate: undefined,
    };
    return tracked.parent;
  }

  #open(folders: CgroupFolders): Cgroup {
    // The unified hierarchy of a v1 host has no controllers, only pressure.
    return folders.v1["cpuacct"] === undefined && folders.unified !== undefined
      ? openCgroupV2(folders.path, folders.unified, this.#budget)
      : openCgroupV1(folders, this.#budget);
  }

  #read(tracked: Tracked, wanted: WantedFigures): CgroupFigures | undefined {
    const figures = tracked.cgroup.read(this.#deps.clock.nowNs(), wanted);
    if (figures === undefined) return undefined;
    return { ...figures, cpuNanoCores: this.#rate(tracked, figures.cpuUsageNs) };
  }

  /** Between this reading and the one before, unless that is too near. */
  #rate(tracked: Tracked, usageNs: bigint): bigint | undefined {
    const atMs = this.#deps.clock.monotonicMs();
    const before = tracked.rate;
    if (before === undefined) {
      tracked.rate = { atMs, usageNs, nanoCores: undefined };
      return undefined;
    }
    const elapsedMs = atMs - before.atMs;
    if (elapsedMs < shortestRateMs) return before.nanoCores;
    const usedNs = usageNs > before.usageNs ? Number(usageNs - before.usageNs) : 0;
    const nanoCores = BigInt(Math.round((usedNs / elapsedMs) * 1000));
    tracked.rate = { atMs, usageNs, nanoCores };
    return nanoCores;
  }
}
