import type { Asked } from "../nri/asked.ts";

/** What one plugin was asked of one event, and how that ended. */
export interface AskedCount {
  readonly plugin: string;
  readonly operation: string;
  readonly status: Asked["outcome"];
  count: number;
  seconds: number;
}

/** Names that figures are kept of: whoever connects chooses its own. */
const MAX_PLUGINS = 32;

/** Figures of what plugins were asked, for the metrics. */
export class NriCounts {
  readonly #counts = new Map<string, AskedCount>();
  readonly #plugins = new Set<string>();

  asked({ plugin, event, seconds, outcome }: Asked): void {
    const known = this.#plugins.has(plugin) || this.#plugins.size < MAX_PLUGINS;
    if (known) this.#plugins.add(plugin);
    const name = known ? plugin : "other";
    const key = `${name} ${event} ${outcome}`;
    const found = this.#counts.get(key) ?? {
      ...{ plugin: name, operation: event, status: outcome, count: 0, seconds: 0 },
    };
    found.count += 1;
    found.seconds += seconds;
    this.#counts.set(key, found);
  }

  get all(): readonly AskedCount[] {
    return [...this.#counts.values()];
  }
}
