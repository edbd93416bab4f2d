import { expect } from "chai";
import { allProse, ofHashes, ofPage, ofSlashes, ofTypeScript } from "../support/prose/extract.ts";
import { avoided } from "../support/prose/words.ts";

const textsOf = (found: { text: string }[]): string[] => found.map(({ text }) => text.trim());
const hits = (text: string): number => avoided.filter(({ words }) => words.test(text)).length;

describe("what a person reads", function () {
  this.timeout(300_000);

  it("has none of the words to avoid", () => {
    const prose = allProse();
    expect(prose.length).to.be.above(5000);
    const found = prose.flatMap(({ path, line, text }) =>
      avoided
        .filter(({ words }) => words.test(text))
        .map(({ words, instead }) => {
          const word = words.exec(text)?.[0] ?? "";
          return `${path}:${line}: "${word}" (better: ${instead})`;
        }),
    );
    expect(found).to.deep.equal([]);
  });

  it("is found in pages without their code", () => {
    const page = ["# Title", "", "One `mend`", "two.", "- three", "```", "code", "```"].join("\n");
    expect(textsOf(ofPage(page))).to.deep.equal(["# Title", "One `…` two.", "- three"]);
  });

  it("is found in sources: comments and texts, not names", () => {
    const source = [
      "/** A comment of",
      " * two lines. */",
      "export const mend = { mend: 'word', text: `two ${'three words here'} four five` }; // behind",
      "// one below",
      "// the other",
      'const url = "https://anew.example/x"; if (/mend it/.test(url)) {',
      "  // the last",
      "}",
    ].join("\n");
    expect(textsOf(ofTypeScript(source))).to.have.members([
      "/** A comment of two lines. */",
      "three words here",
      "four five",
      "// behind one below the other",
      "// the last",
    ]);
    expect(textsOf(ofSlashes("int a; /* of\n * C */"))).to.deep.equal(["/* of C */"]);
    expect(textsOf(ofHashes("#!/bin/sh\n# of\n# shell\necho ${x#y}"))).to.deep.equal([
      "# of shell",
    ]);
  });
});

describe("the words to avoid", () => {
  for (const text of [
    "Mend the cause",
    "pods are made anew",
    "a probe taken for failed",
    "unless it is told to",
    "the line that mends it",
    "the house",
    "hangs for ever",
    "a half-made pod",
    "it belongs into the file",
    "runc has known holes",
    "one a container",
  ]) {
    it(`are found in "${text}"`, () => {
      expect(hits(text)).to.be.above(0);
    });
  }

  for (const text of [
    "two that cannot be told apart",
    "forever",
    "amend the commit, recommended",
    "it has taken nothing for five seconds",
    "without one a container has its own",
  ]) {
    it(`are not found in "${text}"`, () => {
      expect(hits(text)).to.equal(0);
    });
  }
});
