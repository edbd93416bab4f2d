/** One metric of an exposition in Prometheus' text format, with the names of its samples. */
export interface ExposedMetric {
  name: string;
  type: string;
  help: string;
  samples: { name: string; labels: string[] }[];
}

/** @throws Error for a line that is neither comment nor sample, or a sample before its metric */
export function parseExposition(text: string): ExposedMetric[] {
  const metrics = new Map<string, ExposedMetric>();
  const of = (name: string): ExposedMetric => {
    const known = metrics.get(name) ?? { name, type: "", help: "", samples: [] };
    metrics.set(name, known);
    return known;
  };
  let current: ExposedMetric | undefined;
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, kind, subject = "", rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (kind !== undefined) {
      current = of(subject);
      if (kind === "HELP") current.help = rest;
      else current.type = rest;
      continue;
    }
    const [, name = "", , labels = ""] =
      /^([a-zA-Z_:][\w:]*)(\{(.*)\})? -?(?:\d[\d.e+-]*|NaN|[+-]?Inf)$/.exec(line) ?? [];
    if (current === undefined || !isSampleOf(name, current)) {
      throw new Error(`neither a comment nor a sample of ${current?.name ?? "a metric"}: ${line}`);
    }
    const found = [...labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)].map((match) => match[1] ?? "");
    current.samples.push({ name, labels: found });
  }
  return [...metrics.values()];
}

function isSampleOf(name: string, { name: metric, type }: ExposedMetric): boolean {
  if (name === metric) return type !== "histogram";
  return type === "histogram" && /^_(?:bucket|sum|count)$/.test(name.slice(metric.length));
}

const notBase =
  /_(?:milliseconds|microseconds|nanoseconds|minutes|hours|days|kilobytes|megabytes|gigabytes|kibibytes|mebibytes|gibibytes|bits|percent)(?:_|$)/;
const abbreviated =
  /_(?:s|sec|ms|us|ns|m|min|h|hr|d|b|kb|mb|gb|tb|pb|kib|mib|gib|c|f|k|w|v|a|hz|pct)(?:_|$)/;

/** What Prometheus' own checker (promtool check metrics) says of names, types, units and help. */
export function lintMetrics(metrics: readonly ExposedMetric[]): string[] {
  const troubles: string[] = [];
  for (const metric of metrics) {
    const { name, type, help, samples } = metric;
    const bad = (what: string): void => void troubles.push(`${name}: ${what}`);
    if (help.trim() === "") bad("no help text");
    if (!["counter", "gauge", "histogram", "summary"].includes(type)) bad(`type "${type}"`);
    if (type === "counter" && !name.endsWith("_total")) bad("a counter without _total");
    if (type !== "counter" && name.endsWith("_total")) bad("_total is for counters");
    if (type !== "histogram" && /_(?:bucket|count|sum)$/.test(name)) bad("suffix of a histogram");
    if (type === "histogram" || type === "summary" || type === "gauge" || type === "counter") {
      const own = new RegExp(`_${type}(?:_|$)`);
      if (own.test(name)) bad("its type is in its name");
    }
    if (name.includes(":")) bad("a colon is for rules");
    if (name !== name.toLowerCase()) bad("not in snake_case");
    if (notBase.test(name)) bad("not in a base unit");
    if (abbreviated.test(name)) bad("its unit is abbreviated");
    for (const label of new Set(samples.flatMap(({ labels }) => labels))) {
      if (!/^[a-z][a-z0-9_]*$/.test(label)) bad(`label ${label} is not in snake_case`);
      if (label === "le" && type !== "histogram") bad("label le is for histograms");
      if (label === "quantile" && type !== "summary") bad("label quantile is for summaries");
    }
  }
  return troubles;
}

const units: readonly [RegExp, string][] = [
  [/_seconds(?:_total)?$/, "seconds"],
  [/_bytes(?:_total)?$/, "bytes"],
  [/_(?:ready|synced|info)$/, "0 or 1"],
];

/** The base unit that a name says, or that it counts. */
export const unitOf = (name: string): string =>
  units.find(([pattern]) => pattern.test(name))?.[1] ?? "number";
