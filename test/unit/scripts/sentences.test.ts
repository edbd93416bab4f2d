import { expect } from "chai";
import { draw, sentencesOf } from "../../../scripts/project/sentences.ts";

describe("sentences for a reader", () => {
  it("are cut at their ends, and cells of a table apart", () => {
    const text =
      "| One cell has this many words here. Another sentence follows with enough words | too short | The third cell is as long as that |";
    expect(sentencesOf(text)).to.deep.equal([
      "One cell has this many words here.",
      "Another sentence follows with enough words",
      "The third cell is as long as that",
    ]);
    expect(sentencesOf("/** A comment of more than five words. */")).to.deep.equal([
      "A comment of more than five words.",
    ]);
  });

  it("are the same for the same seed, none of them twice", () => {
    const all = "a b c d e f g h i j"
      .split(" ")
      .map((text, line) => ({ path: "p.md", line, text }));
    const first = draw(all, 7, 5);
    expect(draw(all, 7, 5)).to.deep.equal(first);
    expect(draw(all, 8, 5)).to.not.deep.equal(first);
    expect(new Set(draw(all, 7, 20).map(({ text }) => text)).size).to.equal(all.length);
  });
});
