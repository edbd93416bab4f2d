/** A terminal's text as a picture: text in SVG, so that it can be searched, copied and compared. */

const fontSize = 13;
const column = 7.83;
const lineHeight = 18;
const margin = 16;
/** Room for the three dots of a window. */
const top = 34;

const colours = {
  ground: "#0d1117",
  text: "#c9d1d9",
  prompt: "#7ee787",
  call: "#79c0ff",
  bar: "#ffa657",
  quiet: "#8b949e",
} as const;

/** Longer lines are cut at `columns`; the picture has no other width. */
export function terminalPicture(lines: readonly string[], title: string, columns = 88): string {
  const width = Math.ceil(columns * column) + 2 * margin;
  const height = top + lines.length * lineHeight + margin;
  const dots = ["#ff5f56", "#ffbd2e", "#27c93f"].map(
    (fill, at) => `<circle cx="${margin + 6 + at * 18}" cy="17" r="5" fill="${fill}"/>`,
  );
  const texts = lines.flatMap((line, at) => {
    const shown = line.length > columns ? `${line.slice(0, columns - 1)}…` : line.trimEnd();
    if (shown === "") return [];
    const y = top + (at + 1) * lineHeight - 5;
    return [`<text x="${margin}" y="${y}" xml:space="preserve">${spans(shown)}</text>`];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">`,
    `<title>${escape(title)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="${colours.ground}"/>`,
    ...dots,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${fontSize}" fill="${colours.text}">`,
    ...texts,
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

function spans(line: string): string {
  if (line.startsWith("$ ")) return `<tspan fill="${colours.prompt}">${escape(line)}</tspan>`;
  if (/^\d\d:\d\d:\d\d\.\d{3} /.test(line)) {
    return `<tspan fill="${colours.call}">${escape(line)}</tspan>`;
  }
  if (line.startsWith("⋮")) return `<tspan fill="${colours.quiet}">${escape(line)}</tspan>`;
  const bar = /^(.*\|)([# ]+)(\|.*)$/.exec(line);
  if (bar === null) return escape(line);
  const [, before = "", waterfall = "", after = ""] = bar;
  return `${escape(before)}<tspan fill="${colours.bar}">${waterfall}</tspan>${escape(after)}`;
}

const escape = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
