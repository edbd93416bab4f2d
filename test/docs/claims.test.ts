import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";

const root = join(import.meta.dirname, "..", "..");
const docs = join(root, "docs");

interface Claim {
  where: string;
  claim: string;
  proof: string;
}

/** Cells of each row of a page's tables, without heads and rulers. */
function cellsOf(text: string): string[][] {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    const isRow = line.startsWith("| ") && !(lines[at + 1] ?? "").startsWith("|---");
    return isRow
      ? [
          line
            .split(/(?<!\\)\|/)
            .map((cell) => cell.trim())
            .slice(1, -1),
        ]
      : [];
  });
}

function sectionOf(page: string, heading: string): string {
  const start = page.indexOf(`\n## ${heading}`);
  expect(start, heading).to.be.at.least(0);
  const end = page.indexOf("\n## ", start + 1);
  return page.slice(start, end === -1 ? undefined : end);
}

describe("the table of claims in docs/claims.md", () => {
  const read = (path: string): string => readFileSync(join(root, path), "utf8");
  const claims: Claim[] = cellsOf(readFileSync(join(docs, "claims.md"), "utf8")).map(
    ([where = "", claim = "", proof = ""]) => ({ where, claim, proof }),
  );
  const named = claims.flatMap(({ proof }) =>
    [...proof.matchAll(/`([\w/.-]+\.(?:ts|go))` "([^"]+)"/g)].map(([, file = "", title = ""]) => ({
      file,
      title,
    })),
  );

  it("has a test or a link for each", () => {
    const without = claims.filter(({ proof }) => !/\.(?:ts|go)` "[^"]+"|\]\([^)]+\)/.test(proof));
    expect(without).to.deep.equal([]);
    expect(claims.length).to.be.at.least(60);
  });

  it("names tests that exist", () => {
    expect(named.length).to.be.at.least(60);
    const missing = named.filter(({ file, title }) => {
      const path = join(root, "test", file);
      return !existsSync(path) || !readFileSync(path, "utf8").includes(title);
    });
    expect(missing).to.deep.equal([]);
  });

  it("has links that lead somewhere", () => {
    const links = claims.flatMap(({ proof }) =>
      [...proof.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, target = ""]) => target),
    );
    expect(links.filter((target) => !existsSync(join(docs, target)))).to.deep.equal([]);
  });

  for (const [page, heading, where] of [
    ["docs/comparison.md", "What works, against cri-dockerd", "What works"],
    ["docs/commands.md", "Commands", "Commands"],
  ] as const) {
    it(`has every row of ${page}`, () => {
      const section = sectionOf(read(page), heading);
      const rows = cellsOf(section).map(([first]) => first);
      expect(rows.length).to.be.at.least(8);
      const covered = claims.filter((claim) => claim.where === where).map(({ claim }) => claim);
      expect(rows.filter((row) => !covered.includes(row ?? ""))).to.deep.equal([]);
      // And none that the page has taken back.
      expect(covered.filter((claim) => !section.includes(claim))).to.deep.equal([]);
    });
  }

  it("is not needed for the README's comparison, whose rows have links to their evidence", () => {
    const section = sectionOf(read("README.md"), "Compared with cri-dockerd and containerd");
    const rows = cellsOf(section);
    expect(rows.length).to.be.at.least(12);
    const bare = rows.filter((cells) => {
      const target = /^\[[^\]]+\]\(([^)#]+)/.exec(cells.at(-1) ?? "")?.[1];
      return target === undefined || !existsSync(join(root, target));
    });
    expect(bare).to.deep.equal([]);
  });

  it("has every limit of docs/limits.md", () => {
    const limits = sectionOf(read("docs/limits.md"), "Limits").match(/^- .*/gm) ?? [];
    expect(limits.length).to.be.at.least(8);
    const covered = claims.filter(({ where }) => where === "Limits").map(({ claim }) => claim);
    const open = limits.filter((line) => !covered.some((claim) => line.startsWith(`- ${claim}`)));
    expect(open).to.deep.equal([]);
    expect(
      covered.filter((claim) => !limits.some((line) => line.startsWith(`- ${claim}`))),
    ).to.deep.equal([]);
  });

  it("has every page of docs/", () => {
    const pages = readdirSync(docs, { recursive: true, encoding: "utf8" }).filter(
      (name) => name.endsWith(".md") && name !== "claims.md",
    );
    const covered = claims.map(({ where }) => where.split(",", 1)[0]);
    expect(pages.filter((page) => !covered.includes(page))).to.deep.equal([]);
  });
});
