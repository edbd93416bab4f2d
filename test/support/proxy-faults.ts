/** What a fault does to a request that matches. */
export type FaultAction =
  /** Forwarded after `delayMs`. */
  | "delay"
  /** The connection breaks; the engine never hears of the request. */
  | "cutBefore"
  /** The engine acts and answers; the connection breaks in place of the answer. */
  | "cutAfter"
  /** The answer breaks off after its headers and `bytes` of its body (default: half of it, or 1). */
  | "truncate"
  /** An answer of ours with `status`, `body` and `contentType`; not forwarded. */
  | "status"
  /** Not forwarded, never answered, the connection stays open. */
  | "hang"
  /** The headers pass, the body never comes. */
  | "stall"
  /** Lines of a streamed body (events) are left out, each with `probability`. */
  | "drop"
  /** Forwarded with another JSON body: what `rewrite` makes of it. */
  | "rewrite";

export interface Fault {
  match: { method?: string; route: RegExp };
  action: FaultAction;
  /** How many requests it hits; default: all. */
  times?: number;
  /** Of each request to be hit, or with "drop" of each line; default 1. */
  probability?: number;
  delayMs?: number;
  /** Forwarded, or whatever the action is, not before this has settled; made when the request is there. */
  until?: () => Promise<unknown>;
  status?: number;
  body?: string;
  contentType?: string;
  bytes?: number;
  rewrite?: (body: object) => object;
}

/** The faults in force, in the order they were added; the first that matches a request has it. */
export class FaultList {
  readonly #random: () => number;
  #faults: { fault: Fault; left: number; hits: number }[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The returned object counts the requests hit. */
  add(fault: Fault): { readonly hits: number } {
    const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY, hits: 0 };
    this.#faults.push(entry);
    return entry;
  }

  clear(): void {
    this.#faults = [];
  }

  /** The fault for a request; using it up. */
  take(method: string, route: string): Fault | undefined {
    for (const entry of this.#faults) {
      const { fault } = entry;
      if (entry.left <= 0 || !fault.match.route.test(route)) continue;
      if (fault.match.method !== undefined && fault.match.method !== method) continue;
      if (fault.action !== "drop" && this.#random() >= (fault.probability ?? 1)) continue;
      entry.left -= 1;
      entry.hits += 1;
      return fault;
    }
    return undefined;
  }

  /** True when a line is to be left out. */
  dropsLine(fault: Fault): boolean {
    return this.#random() < (fault.probability ?? 1);
  }
}
