import { parseArgs } from "node:util";
import { allProse } from "../../test/support/prose/extract.ts";
import { seeded } from "../../test/soak/random.ts";

/**
 * `npm run docs:sentences`: draws sentences from everything that a person reads (pages, help, messages, comments,
 * titles of tests), for somebody who did not write them. The same seed draws the same sentences of the same commit.
 *
 *   --seed N      1 by default
 *   --count N     100 by default
 *   --below PATH  only from files whose path begins like this
 */

export interface Sentence {
  path: string;
  /** Of the paragraph, comment or text that it is from, from 1. */
  line: number;
  text: string;
}

const leastWords = 6;

/** Sentences of a paragraph that are long enough to be read twice. Rows of a table are cut into cells first. */
export function sentencesOf(text: string): string[] {
  const plain = text
    .replaceAll(/^\s*(?:\/\*+|\/\/+|#+|[-*>]|\d+\.)\s*|\s*\*+\/\s*$/g, "")
    .replaceAll("<br>", " | ");
  return plain
    .split(/\s\|\s|^\||\|$/)
    .flatMap((cell) => cell.split(/(?<=[.!?]["”')]?)\s+(?=["“'(]?[A-Z…`*])/))
    .map((sentence) => sentence.replaceAll(/\s+/g, " ").trim())
    .filter((sentence) => (sentence.match(/\p{L}{2,}/gu) ?? []).length >= leastWords);
}

/** Each sentence has the same chance; none is drawn twice. */
export function draw(all: readonly Sentence[], seed: number, count: number): Sentence[] {
  const random = seeded(seed);
  const left = [...all];
  const drawn: Sentence[] = [];
  while (drawn.length < count && left.length > 0) {
    const [one] = left.splice(Math.floor(random() * left.length), 1);
    if (one !== undefined) drawn.push(one);
  }
  return drawn;
}

if (import.meta.filename === process.argv[1]) {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      count: { type: "string", default: "100" },
      below: { type: "string", default: "" },
    },
  });
  const seen = new Set<string>();
  const all = allProse()
    .filter(({ path }) => path.startsWith(values.below))
    .flatMap(({ path, line, text }) => sentencesOf(text).map((one) => ({ path, line, text: one })))
    .filter(({ text }) => !seen.has(text) && seen.add(text));
  for (const { path, line, text } of draw(all, Number(values.seed), Number(values.count))) {
    process.stdout.write(`${path}:${line}\n  ${text}\n`);
  }
  process.stdout.write(`\nof ${all.length} sentences\n`);
}
