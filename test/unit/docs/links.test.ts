import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect } from "chai";
import { anchorsOf, linksOf, withLinks } from "../../../scripts/project/site/links.ts";
import { pages, root } from "../../docs/extract.ts";

describe("links of the pages", () => {
  const all = pages();

  it("lead to files and headings that exist", () => {
    const dead = all.flatMap(({ page, text }) =>
      linksOf(text).flatMap(({ line, target }) => {
        if (/^(?:https?|mailto):/.test(target)) return [];
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? join(root, page) : join(root, dirname(page), path);
        if (!existsSync(file)) return [`${page}:${line}: ${target}: no such file`];
        if (anchor === undefined || !file.endsWith(".md")) return [];
        if (anchorsOf(readFileSync(file, "utf8")).has(anchor)) return [];
        return [`${page}:${line}: ${target}: no such heading`];
      }),
    );
    expect(dead).to.deep.equal([]);
    expect(all.flatMap(({ text }) => linksOf(text)).length).to.be.above(150);
  });

  it("have each page in the index", () => {
    const docs = join(root, "docs");
    const linked = linksOf(readFileSync(join(docs, "README.md"), "utf8")).map(({ target }) =>
      target.replace(/#.*/, ""),
    );
    const missing = readdirSync(docs, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md") && name !== "README.md" && !linked.includes(name))
      .map((name) => relative(root, join(docs, name)));
    expect(missing).to.deep.equal([]);
  });
});

describe("the reading of links", () => {
  const page = ["See [a](a.md#x) and `[no](no.md)`.", "```", "[no](no.md)", "```", "![p](p.svg)"];

  it("passes over code", () => {
    expect(linksOf(page.join("\n"))).to.deep.equal([
      { line: 1, target: "a.md#x" },
      { line: 5, target: "p.svg" },
    ]);
  });

  it("makes anchors as forges do", () => {
    const text = [
      "# What was tested?",
      "## `play`, and more",
      "## A",
      "```",
      "# no",
      "```",
      "## A",
    ];
    expect([...anchorsOf(text.join("\n"))]).to.deep.equal([
      "what-was-tested",
      "play-and-more",
      "a",
      "a-1",
    ]);
  });

  it("exchanges targets, and leaves the words of a link that leads nowhere", () => {
    const to = (target: string): string | undefined =>
      target === "p.svg" ? undefined : target.replace("a.md", "b.md");
    expect(withLinks(page.join("\n"), to)).to.equal(
      page.join("\n").replace("a.md", "b.md").replace("![p](p.svg)", "p"),
    );
  });
});
