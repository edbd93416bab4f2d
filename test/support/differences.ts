import { join } from "node:path";

export const differencesPage = join(import.meta.dirname, "..", "..", "docs", "differences.md");

/** One row of the table in docs/differences.md. */
export interface DocumentedDifference {
  /** The first cell, which names the row. */
  point: string;
  cells: string[];
  /** File below test/ and a part of its text, usually a test's title. */
  tests: { file: string; title: string }[];
}

/** Reads the table's rows, without its header. */
export function differencesIn(page: string): DocumentedDifference[] {
  return page
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| Point |"))
    .map((line) => {
      // A pipe within a cell is written as \|.
      const cells = line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim());
      const named = [
        ...(cells[5] ?? "").matchAll(/`([a-z0-9/_-]+\.(?:test\.)?(?:ts|go))` "([^"]+)"/g),
      ];
      const tests = named.map(([, file = "", title = ""]) => ({ file, title }));
      return { point: cells[0] ?? "", cells, tests };
    });
}
