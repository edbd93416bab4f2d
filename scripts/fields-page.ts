import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fieldMessages, fieldNames, fieldOfRow } from "../test/support/field-names.ts";
import { readResults } from "../test/support/field-results.ts";
import type { FieldResult, LaneResults } from "../test/support/field-results.ts";

// docs/fields.md from docs/fields/<lane>.json: `node scripts/fields-page.ts [--check]`.

export const lanes = {
  "docker-20.10": "Docker 20.10",
  "current-graph": "29.x, graph driver",
  "current-containerd": "29.x, containerd store",
  uml: "cgroup v2, AppArmor",
  "uml-systemd": "systemd driver",
  "uml-systemd-current": "29.x, systemd driver",
} as const;
type Lane = keyof typeof lanes;

export const pagePath = join(import.meta.dirname, "..", "docs", "fields.md");
const notRun = "–";

/** All rows that any lane knows, in the order of the CRI's own definition. */
export function rowsOf(results: ReadonlyMap<string, LaneResults>): string[] {
  const rows = new Set([...results.values()].flatMap(({ fields }) => Object.keys(fields)));
  const order = fieldNames();
  return [...rows].sort((a, b) => {
    const distance = order.indexOf(fieldOfRow(a)) - order.indexOf(fieldOfRow(b));
    return distance !== 0 ? distance : a < b ? -1 : 1;
  });
}

/** What a lane's tests say of a row together; a refusal needs a row of its own. */
export function verdict(row: string, lane: string, found: readonly FieldResult[]): FieldResult {
  const by = (outcome: FieldResult["outcome"]): FieldResult | undefined =>
    found.find((result) => result.outcome === outcome);
  if (by("works") !== undefined && by("refused") !== undefined) {
    throw new Error(`${row}: works and is refused in ${lane}; tell the cases apart: ${row}=case`);
  }
  const one = by("fails") ?? by("refused") ?? by("works") ?? by("not applicable");
  if (one === undefined) throw new Error(`${row}: nothing known in ${lane}`);
  return one;
}

export function readLanes(): Map<Lane, LaneResults> {
  const found = new Map<Lane, LaneResults>();
  for (const lane of Object.keys(lanes) as Lane[]) {
    const results = readResults(lane);
    if (results !== undefined) found.set(lane, results);
  }
  return found;
}

export function makePage(results: ReadonlyMap<string, LaneResults>): string {
  const notes: string[] = [];
  const noteOf = (text: string): string => {
    if (!notes.includes(text)) notes.push(text);
    return ` [${notes.indexOf(text) + 1}]`;
  };
  const cell = (row: string, lane: string): string => {
    const tests = results.get(lane)?.fields[row];
    if (tests === undefined) return notRun;
    const { outcome, detail } = verdict(row, lane, Object.values(tests));
    return `${outcome}${detail === undefined ? "" : noteOf(detail)}`;
  };
  const rows = rowsOf(results);
  const tables = fieldMessages.flatMap(({ name }) => {
    const own = rows.filter((row) => row.startsWith(`${name}.`));
    if (own.length === 0) return [];
    return [
      `## ${name}`,
      table([
        ["Field", ...Object.values(lanes)],
        ...own.map((row) => [
          `\`${row.slice(name.length + 1)}\``,
          ...Object.keys(lanes).map((lane) => cell(row, lane)),
        ]),
      ]),
    ];
  });
  const nodes = Object.entries(lanes).map(
    ([lane, title]) => `- **${title}**: ${results.get(lane)?.node ?? "no run yet"}`,
  );
  return [
    "<!-- Made by `npm run docs:fields` from docs/fields/*.json. Do not edit. -->",
    "# Every field of a pod and its containers",
    "What Dockline does with each field of the CRI on each kind of node. Every cell was seen by a test.",
    [
      "- **works**: the field does what the CRI says, or what containerd does with it.",
      "- **refused**: the call fails and names the field. The number leads to the message.",
      "- **not applicable**: the node has nothing that the field could act on. The number leads to the reason.",
      `- **${notRun}**: not tried there. Nothing in the field depends on what is special about that node.`,
      "- `field=case` is one value or use of the field.",
    ].join("\n"),
    "The nodes:",
    nodes.join("\n"),
    ...tables,
    "## Messages and reasons",
    notes.map((text, index) => `${index + 1}. ${escaped(text)}`).join("\n"),
  ]
    .join("\n\n")
    .concat("\n");
}

export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n");
}

/** A message is text, whatever Markdown would make of it. */
const escaped = (text: string): string => `\`\`${text.replace(/\s+/g, " ")}\`\``;

if (import.meta.main) {
  const page = makePage(readLanes());
  if (process.argv.includes("--check")) {
    if (readFileSync(pagePath, "utf8") !== page) {
      console.error("docs/fields.md is not what docs/fields/*.json make: npm run docs:fields");
      process.exitCode = 1;
    }
  } else {
    writeFileSync(pagePath, page);
    console.log(`docs/fields.md: ${rowsOf(readLanes()).length} rows`);
  }
}
