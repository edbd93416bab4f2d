import type { Logger } from "../log.ts";
import { errorText } from "../errors.ts";
import { isErrno } from "../sys/fs.ts";
import type { Clock } from "../sys/clock.ts";
import { DiskWalk } from "./disk-walk.ts";
import type { DiskUse } from "./disk-walk.ts";

/** Size of one container's writable layer when it was walked last. */
export interface LayerSize extends DiskUse {
  /** Wall clock at the end of the walk, nanoseconds. */
  atNs: bigint;
}

export interface LayerSizesDeps {
  clock: Clock;
  log: Logger;
  /** Wait between two walks of one layer (30 s); a costly walk waits a hundred times its own work. */
  intervalMs?: number;
  /** Work in one go (100 ms), followed by a rest nine times as long. */
  sliceMs?: number;
  /** Names after which a walk is cut off and its sum taken as the least (5 million). */
  mostInodes?: number;
}

interface Layer {
  path: string;
  /** Infinity for one that cannot change any more. */
  dueMs: number;
  intervalMs: number;
  /** Of a container that does not run: one more walk, and no other. */
  final: boolean;
  /** The last walk came to nothing. */
  failed: boolean;
  /** Somebody waited for its first walk as long as anybody does. */
  waitedFor: boolean;
  /** Something happened since the walk in hand began, which may have passed by it. */
  stale: boolean;
  walk: DiskWalk | undefined;
  size: LayerSize | undefined;
}

const longestIntervalMs = 3_600_000;
/** A layer in which nothing changes is looked at less often, up to this factor. */
const quietFactor = 4;
const restFactor = 9;

/**
 * Sizes of writable layers from walks in the background: one at a time, a tenth of the time at most,
 * and a hundredth of it for any one layer. The kubelet's eviction and `du` inside of the node agree
 * with it; Docker's own sizes cost a walk for each question.
 */
export class LayerSizes {
  readonly #deps: LayerSizesDeps;
  readonly #layers = new Map<string, Layer>();
  readonly #stop = new AbortController();
  /** Being walked this moment: its folders must not be closed under the walk. */
  #busy: Layer | undefined;
  #wake: (() => void) | undefined;
  #loop: Promise<void> | undefined;

  constructor(deps: LayerSizesDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#loop ??= this.#run().catch((error: unknown) => {
      this.#deps.log.error({ err: error }, "writable layers are no longer measured");
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#loop;
    for (const layer of this.#layers.values()) await layer.walk?.close();
  }

  /** Takes note of a container's layer; a new one is walked as soon as its turn comes. */
  track(id: string, path: string): void {
    if (this.#layers.get(id)?.path === path) return;
    this.drop(id);
    this.#layers.set(id, {
      path,
      dueMs: this.#deps.clock.monotonicMs(),
      intervalMs: this.#baseMs,
      final: false,
      failed: false,
      waitedFor: false,
      stale: false,
      walk: undefined,
      size: undefined,
    });
    this.#wake?.();
  }

  tracked(id: string): boolean {
    return this.#layers.has(id);
  }

  /** The container stopped or started: its layer is walked soon, and after a stop for the last time. */
  changed(id: string, running: boolean): void {
    const layer = this.#layers.get(id);
    if (layer === undefined || layer.final === !running) return;
    layer.final = !running;
    layer.stale = layer.walk !== undefined;
    layer.dueMs = this.#deps.clock.monotonicMs();
    this.#wake?.();
  }

  drop(id: string): void {
    const layer = this.#layers.get(id);
    this.#layers.delete(id);
    if (layer !== this.#busy) layer?.walk?.close().catch(() => undefined);
  }

  of(id: string): LayerSize | undefined {
    return this.#layers.get(id)?.size;
  }

  /**
   * Waits, but not for long, until each layer was walked once. One whose walk takes longer keeps a
   * single call waiting, not each that comes until it is done.
   */
  async firstSizes(timeoutMs: number): Promise<void> {
    const end = this.#deps.clock.monotonicMs() + timeoutMs;
    const isMissing = ([id, layer]: [string, Layer]): boolean =>
      layer.size === undefined && !layer.failed && !layer.waitedFor && this.tracked(id);
    const missing = [...this.#layers].filter(isMissing);
    while (missing.some(isMissing) && this.#deps.clock.monotonicMs() < end) {
      await this.#deps.clock.sleep(10, this.#stop.signal).catch(() => undefined);
      if (this.#stop.signal.aborted) return;
    }
    for (const [, layer] of missing) layer.waitedFor = true;
  }

  /** All known layers together. */
  total(): DiskUse {
    let usedBytes = 0n;
    let inodesUsed = 0n;
    for (const { size } of this.#layers.values()) {
      usedBytes += size?.usedBytes ?? 0n;
      inodesUsed += size?.inodesUsed ?? 0n;
    }
    return { usedBytes, inodesUsed };
  }

  get #baseMs(): number {
    return this.#deps.intervalMs ?? 30_000;
  }

  async #run(): Promise<void> {
    const { clock } = this.#deps;
    while (!this.#stop.signal.aborted) {
      const next = this.#nextDue();
      const waitMs = next === undefined ? 60_000 : next[1].dueMs - clock.monotonicMs();
      if (waitMs > 0 || next === undefined) {
        await this.#idle(Math.min(Math.max(1, waitMs), 60_000));
        continue;
      }
      const workedMs = await this.#work(...next);
      // Even a row of small layers leaves the processor to others most of the time.
      await this.#idle(Math.max(1, workedMs * restFactor));
    }
  }

  /** What is due first; one that was never looked at goes before all others. */
  #nextDue(): [string, Layer] | undefined {
    let first: [string, Layer] | undefined;
    for (const each of this.#layers) {
      const { size, walk, failed, dueMs } = each[1];
      if (size === undefined && walk === undefined && !failed) return each;
      if (first === undefined || dueMs < first[1].dueMs) first = each;
    }
    return first;
  }

  /** One slice of a layer's walk; gives the milliseconds that it took. */
  async #work(id: string, layer: Layer): Promise<number> {
    const { clock, log } = this.#deps;
    const walk = (layer.walk ??= new DiskWalk(layer.path));
    const beforeMs = walk.workedMs;
    this.#busy = layer;
    try {
      let done = await walk.step(this.#deps.sliceMs ?? 100);
      if (!done && walk.inodes > BigInt(this.#deps.mostInodes ?? 5_000_000)) {
        log.warn({ containerId: id, inodes: walk.inodes }, "writable layer is too large to count");
        await walk.close();
        done = true;
      }
      if (done) this.#finish(layer, walk);
      // To the end of the row: layers that take long do not hold up the others.
      else layer.dueMs = clock.monotonicMs();
    } catch (error) {
      await walk.close();
      layer.walk = undefined;
      layer.failed = true;
      layer.intervalMs = Math.min(layer.intervalMs * 2, longestIntervalMs);
      layer.dueMs = clock.monotonicMs() + layer.intervalMs;
      if (!isErrno(error, "ENOENT")) {
        log.debug({ containerId: id, error: errorText(error) }, "writable layer was not measured");
      }
    } finally {
      this.#busy = undefined;
    }
    if (this.#layers.get(id) !== layer) await walk.close();
    return walk.workedMs - beforeMs;
  }

  #finish(layer: Layer, walk: DiskWalk): void {
    const use = walk.result();
    const same =
      layer.size?.usedBytes === use.usedBytes && layer.size.inodesUsed === use.inodesUsed;
    layer.size = { ...use, atNs: this.#deps.clock.nowNs() };
    layer.walk = undefined;
    layer.failed = false;
    const quietMs = same
      ? Math.min(layer.intervalMs * 2, this.#baseMs * quietFactor)
      : this.#baseMs;
    layer.intervalMs = Math.min(Math.max(quietMs, walk.workedMs * 100), longestIntervalMs);
    const nowMs = this.#deps.clock.monotonicMs();
    if (layer.stale) layer.dueMs = nowMs;
    else layer.dueMs = layer.final ? Infinity : nowMs + layer.intervalMs;
    layer.stale = false;
  }

  /** For a while, or until a new layer came. */
  #idle(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      timer.unref();
      this.#wake = end;
    });
  }
}
