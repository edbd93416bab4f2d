/** Links of the pages as a forge follows them: relative paths, and anchors made of headings. */

export interface Link {
  /** From 1. */
  line: number;
  target: string;
}

/** A page without its code, line by line: links in code are none. */
function proseLines(text: string): string[] {
  let fence = "";
  return text.split("\n").map((line) => {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1] ?? "";
    if (fence !== "") {
      if (mark.startsWith(fence)) fence = "";
      return "";
    }
    fence = mark;
    return mark === "" ? line : "";
  });
}

/** Links and pictures of a page, without those in code. */
export function linksOf(text: string): Link[] {
  return proseLines(text).flatMap((line, at) =>
    [...line.replaceAll(/(`+)[^`]+\1/g, "").matchAll(/\]\(([^)\s]+)\)/g)].map(
      ([, target = ""]) => ({
        line: at + 1,
        target,
      }),
    ),
  );
}

/** The anchor that a forge gives a heading: lower case, no punctuation, hyphens for blanks. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}

export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  return new Set(
    proseLines(text).flatMap((line) => {
      const heading = /^#{1,6} (.*)$/.exec(line)?.[1];
      if (heading === undefined) return [];
      const plain = heading.replaceAll(/[`*]/g, "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
      const anchor = anchorOf(plain);
      const before = seen.get(anchor) ?? 0;
      seen.set(anchor, before + 1);
      return [before === 0 ? anchor : `${anchor}-${before}`];
    }),
  );
}

/** The page with each link's target exchanged; undefined leaves the link's text alone in its place. */
export function withLinks(text: string, to: (target: string) => string | undefined): string {
  const prose = proseLines(text);
  return text
    .split("\n")
    .map((line, at) =>
      prose[at] === ""
        ? line
        : line.replaceAll(
            /(!?)\[([^\]]*)\]\(([^)\s]+)\)/g,
            (_, mark: string, name: string, target: string) => {
              const now = to(target);
              return now === undefined ? name : `${mark}[${name}](${now})`;
            },
          ),
    )
    .join("\n");
}
