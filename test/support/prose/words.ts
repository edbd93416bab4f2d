/** Words that make a reader stop, and what to write in their place. */
export interface Avoided {
  words: RegExp;
  instead: string;
}

/** In everything that a person reads: pages, help, messages, comments and titles of tests. */
export const avoided: readonly Avoided[] = [
  { words: /\bmend(?:s|ed|ing)?\b/i, instead: "fix" },
  { words: /\banew\b/i, instead: "again; for made anew: recreated" },
  { words: /\btaken for\b/i, instead: "mistaken for, treated as, counts as" },
  {
    words: /\b(?:is|are|was|were|be|been|being|not) told\b(?! (?:apart|from))/i,
    instead: "say who learns it, or: reported, known, configured",
  },
  { words: /\bthe line that (?:mends|fixes)\b/i, instead: "the command that fixes" },
  { words: /\b(?:the|a) house\b/i, instead: "the source layout" },
  { words: /\bfor ever\b/i, instead: "forever, or: always" },
  { words: /\bin step with\b/i, instead: "synchronized with" },
  { words: /\bhalf-(?:made|stopped)\b/i, instead: "partially created, partially stopped" },
  { words: /\bbelongs? into\b/i, instead: "belongs in" },
  { words: /\bas good as root\b/i, instead: "root-equivalent" },
  { words: /\b(?:known|security) holes?\b/i, instead: "vulnerabilities" },
  { words: /(?<!without )\bone an? (?:container|pod|line|call|second)\b/i, instead: "one per …" },
];
