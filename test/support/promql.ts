/** What a query in PromQL speaks of: metrics, and labels in selectors, groupings and matchings. */
export interface QueryNames {
  metrics: Set<string>;
  labels: Set<string>;
}

const operators = new Set(["and", "or", "unless", "offset", "bool", "inf", "nan"]);
const beforeLabels = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"]);

/** Enough of the language for queries that are well-formed; whether they are is for Prometheus' own tool to say. */
export function namesIn(query: string): QueryNames {
  const names: QueryNames = { metrics: new Set(), labels: new Set() };
  const tokens = query.match(/"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\d[\w.]*|\S/g) ?? [];
  let isInLabels = false;
  for (const [at, token] of tokens.entries()) {
    const next = tokens[at + 1] ?? "";
    if (token === "{" || (token === "(" && beforeLabels.has(tokens[at - 1] ?? ""))) {
      isInLabels = true;
    } else if (token === "}" || token === ")") isInLabels = false;
    if (!/^[a-zA-Z_:]/.test(token)) continue;
    if (isInLabels) names.labels.add(token);
    // A function or an aggregation, "sum(…)" or "sum by (…) (…)".
    else if (next === "(" || next === "by" || next === "without") continue;
    else if (!operators.has(token) && !beforeLabels.has(token)) names.metrics.add(token);
  }
  return names;
}
