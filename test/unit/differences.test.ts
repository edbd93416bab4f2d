import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { differencesIn, differencesPage } from "../support/differences.ts";

const testFolder = join(import.meta.dirname, "..");

describe("the table in docs/differences.md", () => {
  const rows = differencesIn(readFileSync(differencesPage, "utf8"));

  it("has rows with all six cells filled, each point once", () => {
    expect(rows.length).to.be.greaterThan(0);
    const points = rows.map(({ point }) => point);
    expect(new Set(points).size, points.join("\n")).to.equal(points.length);
    for (const { point, cells } of rows) {
      expect(cells.length, point).to.equal(6);
      expect(
        cells.filter((cell) => cell === ""),
        point,
      ).to.deep.equal([]);
    }
  });

  it("names a test for each, and each of them exists", () => {
    const untested = rows.filter(({ tests }) => tests.length === 0);
    expect(untested.map(({ point }) => point)).to.deep.equal([]);
    const missing = rows
      .flatMap(({ tests }) => tests)
      .filter(({ file, title }) => {
        const path = join(testFolder, file);
        return !existsSync(path) || !readFileSync(path, "utf8").includes(title);
      });
    expect(missing).to.deep.equal([]);
  });

  it("names options that exist", () => {
    const options = readFileSync(join(testFolder, "..", "docs", "configuration.md"), "utf8");
    const unknown = rows
      .flatMap(({ cells }) => [...(cells[4] ?? "").matchAll(/`--([a-z0-9-]+)/g)])
      .map(([, name = ""]) => name)
      .filter((name) => !options.includes(`--${name}`));
    expect(unknown).to.deep.equal([]);
  });
});
