import { needsImageLabels } from "../convert/labels.ts";
import type { Engine } from "../engine/engine.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { ContainerTable } from "./container-table.ts";
import type { ImageTable } from "./image-table.ts";
import { ownName } from "./container-merge.ts";
import type { Sleeper } from "./sleeper.ts";
import type { Tick } from "./tick.ts";

const LIST_MS = 20_000;
const IMAGE_LABELS_MS = 3_000;

export interface ListerDeps {
  engine: Engine;
  log: Logger;
  tick: Tick;
  signal: AbortSignal;
  sleeper: Sleeper;
  table: ContainerTable;
  images: ImageTable;
  onContact(): void;
}

/** Asks for the list of containers, once for all who want it, and merges it. */
export class ContainerLister {
  readonly #deps: ListerDeps;
  #flight: { order: number; promise: Promise<number> } | undefined;
  #started = 0;
  #repairs = 0;
  /** The first list brings what was there before us: nothing has happened to it. */
  #first = true;
  constructor(deps: ListerDeps) {
    this.#deps = deps;
  }

  get started(): number {
    return this.#started;
  }

  get repairs(): number {
    return this.#repairs;
  }

  /** Joins a list that began after `minOrder` or begins one; resolves to the number of repairs. */
  list(minOrder: number): Promise<number> {
    if (this.#flight !== undefined && this.#flight.order > minOrder) return this.#flight.promise;
    const mark = this.#deps.tick.mark();
    const flight = {
      order: mark.order,
      promise: outsideCall(async () => {
        const { engine, signal, table, sleeper } = this.#deps;
        this.#started += 1;
        const summaries = await engine.listContainers([], { timeoutMs: LIST_MS, signal });
        this.#deps.onContact();
        const labels = summaries.map((summary) =>
          this.imageLabels(ownName(summary) ?? "", summary.Labels ?? {}, summary.ImageID),
        );
        // An image store that hangs must not keep the list from coming; the next one asks again.
        await sleeper.within(Promise.all(labels), IMAGE_LABELS_MS);
        const quiet = this.#first;
        const repairs = table.applyList(summaries, mark, quiet);
        this.#first = false;
        if (!quiet) this.#repairs += repairs;
        return repairs;
      }).finally(() => {
        if (this.#flight === flight) this.#flight = undefined;
      }),
    };
    this.#flight = flight;
    return flight.promise;
  }

  /** Brings an image's labels into memory where an object can only be read with them. */
  async imageLabels(name: string, labels: Record<string, string>, imageId: string): Promise<void> {
    const { images, log } = this.#deps;
    if (!needsImageLabels({ name, labels })) return;
    if (images.labelsInMemory(imageId) !== undefined) return;
    try {
      await images.labelsOf(imageId);
    } catch (error) {
      log.warn({ image: imageId, error: errorText(error) }, "the image's labels are not known");
    }
  }
}
