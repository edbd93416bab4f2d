import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** What a lane's tests saw of one row, see fields.ts. */
export interface FieldResult {
  readonly outcome: "works" | "refused" | "not applicable" | "fails";
  /** The refusal's message, or why it does not apply here. */
  readonly detail?: string;
}

export interface LaneResults {
  /** What the node was: engine, cgroups, kernel. */
  readonly node: string;
  /** Row → `file: test` → what it saw. */
  readonly fields: Readonly<Record<string, Readonly<Record<string, FieldResult>>>>;
}

export const resultsFolder = join(import.meta.dirname, "..", "..", "docs", "fields");

export function readResults(lane: string, folder = resultsFolder): LaneResults | undefined {
  if (!readdirSync(folder).includes(`${lane}.json`)) return undefined;
  return JSON.parse(readFileSync(join(folder, `${lane}.json`), "utf8")) as LaneResults;
}

/** Sorted, so that two runs that saw the same make the same file. */
export function formatResults({ node, fields }: LaneResults): string {
  const sorted = <T>(record: Readonly<Record<string, T>>): [string, T][] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = sorted(fields)
    .filter(([, tests]) => Object.keys(tests).length > 0)
    .map(([row, tests]) => [row, Object.fromEntries(sorted(tests))] as const);
  return `${JSON.stringify({ node, fields: Object.fromEntries(rows) }, undefined, 2)}\n`;
}
