import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { configuration } from "../../../scripts/project/site/configuration.ts";
import { contents, sitePath } from "../../../scripts/project/site/contents.ts";
import { sitePages, siteText, writePages } from "../../../scripts/project/site/pages.ts";
import { pages } from "../../docs/extract.ts";

describe("the site", () => {
  it("has each page of docs/ in its contents, once, at a place of its own", () => {
    const docs = pages().flatMap(({ page }) => (page.startsWith("docs/") ? [page] : []));
    expect(docs.filter((page) => !sitePages.includes(page))).to.deep.equal([]);
    expect(new Set(sitePages.map(sitePath)).size).to.equal(sitePages.length);
    expect(sitePath("docs/README.md")).to.equal("index.md");
    expect(sitePath("docs/benchmarks/README.md")).to.equal("benchmarks/index.md");
    expect(sitePath("CONTRIBUTING.md")).to.equal("project/contributing.md");
  });

  for (const [what, page, link, expected] of [
    ["another page", "docs/install.md", "[a](play.md#x)", "[a](./play.md#x)"],
    ["the index", "docs/install.md", "[a](README.md)", "[a](./index.md)"],
    [
      "a page of the top level",
      "docs/install.md",
      "[a](../SECURITY.md)",
      "[a](./project/security.md)",
    ],
    ["docs/ from the top level", "CONTRIBUTING.md", "[a](docs/play.md)", "[a](../play.md)"],
    ["data", "docs/benchmarks/README.md", "[a](last.txt)", "[a](/benchmarks/last.txt)"],
    [
      "a source",
      "docs/install.md",
      "[a](../src/main.ts)",
      "[a](https://example.org/tree/src/main.ts)",
    ],
    ["the README", "docs/install.md", "[a](../README.md)", "a"],
    ["elsewhere", "docs/install.md", "[a](https://example.org)", "[a](https://example.org)"],
    ["its own heading", "docs/install.md", "[a](#x)", "[a](#x)"],
  ] as const) {
    it(`leads from a page to ${what}`, () => {
      expect(siteText(page, link, "https://example.org/tree")).to.equal(expected);
    });
  }

  it("has words in place of links to sources that have no address", () => {
    expect(siteText("docs/install.md", "[a](../src/main.ts)", undefined)).to.equal("a");
  });

  it("gets its pages, pictures and contents", () => {
    const folder = mkdtempSync(join(tmpdir(), "dockline-site-"));
    try {
      writePages(folder, undefined);
      const written = readdirSync(folder, { recursive: true, encoding: "utf8" });
      expect(written).to.include.members(sitePages.map(sitePath));
      expect(written).to.include("public/pictures/quickstart.svg");
      const index = readFileSync(join(folder, "quickstart.md"), "utf8");
      expect(index).to.contain("](/pictures/quickstart.svg)");
    } finally {
      rmSync(folder, { recursive: true });
    }
    const text = configuration("/dockline/");
    for (const { title } of contents) expect(text).to.contain(`"text": "${title}"`);
    expect(text).to.contain('"base": "/dockline/"').and.contain('"link": "/benchmarks/"');
  });
});
