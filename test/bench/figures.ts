/** Every figure of a run: scenario, call and subject, and in it the blocks in their order. */
export class Figures {
  readonly #blocks = new Map<string, number[][]>();
  readonly #cpu = new Map<string, { ms: number; calls: number }>();

  add(key: FigureKey, values: readonly number[]): void {
    if (values.length === 0) return;
    const at = keyOf(key);
    const blocks = this.#blocks.get(at);
    if (blocks === undefined) this.#blocks.set(at, [[...values]]);
    else blocks.push([...values]);
  }

  /** CPU time of one process during so many calls. */
  addCpu(key: FigureKey & { process: string }, ms: number, calls: number): void {
    const at = `${keyOf(key)}|${key.process}`;
    const sum = this.#cpu.get(at) ?? { ms: 0, calls: 0 };
    this.#cpu.set(at, { ms: sum.ms + ms, calls: sum.calls + calls });
  }

  get keys(): FigureKey[] {
    return [...this.#blocks.keys()].map(keyFrom);
  }

  values(key: FigureKey): number[] {
    return (this.#blocks.get(keyOf(key)) ?? []).flat();
  }

  /** Of the blocks' medians, so that one slow minute does not count more than one block. */
  median(key: FigureKey): number | undefined {
    const blocks = this.#blocks.get(keyOf(key));
    return blocks === undefined ? undefined : median(blocks.map(median));
  }

  /** The median over the blocks of this subject's median by the other's in the same block. */
  ratio(key: FigureKey, other: string): Ratio | undefined {
    const own = this.#blocks.get(keyOf(key)) ?? [];
    const others = this.#blocks.get(keyOf({ ...key, subject: other })) ?? [];
    const ratios = own.flatMap((block, at) => {
      const beside = others[at];
      return beside === undefined ? [] : [median(block) / median(beside)];
    });
    if (ratios.length === 0) return undefined;
    return {
      median: median(ratios),
      low: quantile(ratios, 0.25),
      high: quantile(ratios, 0.75),
      blocks: ratios.length,
    };
  }

  /** CPU ms a call, by process. */
  cpu(key: FigureKey): Record<string, number> {
    const prefix = `${keyOf(key)}|`;
    const found = [...this.#cpu].filter(([at]) => at.startsWith(prefix));
    return Object.fromEntries(
      found.map(([at, { ms, calls }]) => [at.slice(prefix.length), ms / calls]),
    );
  }

  toJSON(): object[] {
    return this.keys.map((key) => {
      const values = this.values(key);
      return {
        ...key,
        unit: key.call.endsWith("/s") ? "1/s" : "ms",
        calls: values.length,
        blocks: this.#blocks.get(keyOf(key))?.length,
        median: round(this.median(key) ?? Number.NaN),
        p90: round(quantile(values, 0.9)),
        p99: round(quantile(values, 0.99)),
        cpuMsPerCall: Object.fromEntries(
          Object.entries(this.cpu(key)).map(([name, ms]) => [name, round(ms)]),
        ),
      };
    });
  }
}

export interface FigureKey {
  scenario: string;
  call: string;
  subject: string;
}

export interface Ratio {
  median: number;
  /** Quartiles over the blocks. */
  low: number;
  high: number;
  blocks: number;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** Three significant digits are more than the machine gives. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}

function keyOf({ scenario, call, subject }: FigureKey): string {
  return `${scenario}|${call}|${subject}`;
}

function keyFrom(text: string): FigureKey {
  const [scenario = "", call = "", subject = ""] = text.split("|");
  return { scenario, call, subject };
}
