import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";

const root = join(import.meta.dirname, "..", "..");

interface Row {
  number: number;
  /** File and a part of its text, a test's title. */
  tests: { file: string; title: string }[];
  text: string;
}

/** The rows of a page's table that begin with a letter and a number. */
function rowsOf(page: string, letter: string): Row[] {
  return readFileSync(join(root, "docs", page), "utf8")
    .split("\n")
    .flatMap((line) => {
      const number = new RegExp(`^\\| ${letter}(\\d+) \\|`).exec(line)?.[1];
      if (number === undefined) return [];
      const named = [...line.matchAll(/`([a-z0-9/_-]+\.(?:test\.)?(?:ts|go))` "([^"]+)"/g)];
      const tests = named.map(([, file = "", title = ""]) => ({ file, title }));
      return [{ number: Number(number), tests, text: line }];
    });
}

for (const [page, letter, what] of [
  ["security.md", "T", "threats"],
  ["operations.md", "F", "faults"],
] as const) {
  describe(`the table of ${what} in docs/${page}`, () => {
    const rows = rowsOf(page, letter);

    it("has each of them, in order", () => {
      expect(rows.length).to.be.at.least(41);
      expect(rows.map(({ number }) => number)).to.deep.equal(rows.map((_, at) => at + 1));
    });

    it("names a test for each, and each of them exists", () => {
      const untested = rows.filter(({ tests }) => tests.length === 0);
      expect(untested.map(({ text }) => text)).to.deep.equal([]);
      const missing = rows
        .flatMap(({ tests }) => tests)
        .filter(({ file, title }) => {
          const path = join(root, "test", file);
          return !existsSync(path) || !readFileSync(path, "utf8").includes(title);
        });
      expect(missing).to.deep.equal([]);
    });
  });
}
