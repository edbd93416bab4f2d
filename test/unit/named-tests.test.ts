import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";

const root = join(import.meta.dirname, "..", "..");

interface Row {
  number: number;
  cells: string[];
}

/** The rows of a page's tables that begin with a letter and a number. */
function rowsOf(page: string, letter: string): Row[] {
  return readFileSync(join(root, "docs", page), "utf8")
    .split("\n")
    .flatMap((line) => {
      const number = new RegExp(`^\\| ${letter}(\\d+) \\|`).exec(line)?.[1];
      if (number === undefined) return [];
      const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
      return [{ number: Number(number), cells: cells.slice(1, -1) }];
    });
}

for (const [page, letter, what] of [
  ["security.md", "T", "threats"],
  ["operations.md", "F", "faults"],
] as const) {
  describe(`the table of ${what} in docs/${page}`, () => {
    const rows = rowsOf(page, letter);
    const proofs = rowsOf("claims.md", letter);

    it("has each of them, in order", () => {
      expect(rows.length).to.be.at.least(41);
      expect(rows.map(({ number }) => number)).to.deep.equal(rows.map((_, at) => at + 1));
    });

    it("has a row in claims.md for each, by the same words", () => {
      const first = ({ cells }: Row): string[] => cells.slice(0, 2);
      expect(proofs.map(first)).to.deep.equal(rows.map(first));
    });

    it("names a test for each, and each of them exists", () => {
      const named = proofs.map(({ cells }) =>
        [...(cells[2] ?? "").matchAll(/`([a-z0-9/_-]+\.(?:test\.)?(?:ts|go))` "([^"]+)"/g)].map(
          ([, file = "", title = ""]) => ({ file, title }),
        ),
      );
      expect(proofs.filter((_, at) => named[at]?.length === 0)).to.deep.equal([]);
      const missing = named.flat().filter(({ file, title }) => {
        const path = join(root, "test", file);
        return !existsSync(path) || !readFileSync(path, "utf8").includes(title);
      });
      expect(missing).to.deep.equal([]);
    });

    it("leaves the operator alone with titles of tests", () => {
      expect(
        rows.filter(({ cells }) => /\.(?:test\.)?(?:ts|go)` "/.test(cells.join())),
      ).to.deep.equal([]);
    });
  });
}
