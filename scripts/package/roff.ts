/** Left-aligned and without hyphenation: names are copied from here. */
export const page = (sections: string[]): string =>
  `${sections[0] ?? ""}\n.ad l\n.nh\n${sections.slice(1).join("\n")}\n`;
export const title = (name: string, part: number, version: string, date: string): string =>
  `.TH ${name} ${part} ${date} "dockline ${version}"`;
export const section = (name: string, ...lines: string[]): string =>
  [`.SH ${name}`, ...lines].join("\n");
export const entry = (term: string, text: string): string => `.TP\n.B ${roff(term)}\n${roff(text)}`;
export const literal = (text: string): string =>
  `.nf\n${text.split("\n").map(roff).join("\n")}\n.fi`;

/** Text as roff takes it: no escapes, no requests at the start of a line, hyphens that can be copied. */
export function roff(text: string): string {
  const escaped = text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    // The name of a variable may be longer than a line: it may be broken behind each word.
    .replaceAll(/\b[A-Z]+(?:_[A-Z0-9]+){3,}\b/g, (name) => name.replaceAll("_", "_\\:"))
    .replaceAll(/[^\x20-\x7e]/gu, (letter) => {
      const code = letter.codePointAt(0) ?? 0;
      return `\\[u${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    });
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
