import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..", "..");

/** A command as a page has it. */
export interface Command {
  /** Path from the repository's root, and the line of the page, from 1. */
  page: string;
  line: number;
  text: string;
  /** "block": of a fenced block; "inline": in backticks within a sentence. */
  form: "block" | "inline";
  /** What the page's own mark says: "run", or the name of a reason. */
  mark: string | undefined;
}

export interface Block {
  page: string;
  line: number;
  language: string;
  text: string;
  mark: string | undefined;
}

export interface Page {
  page: string;
  text: string;
}

/** The pages of the top level, all of docs/ and the READMEs of deploy/; new ones are included automatically. */
export function pages(): Page[] {
  const names = ["docs", "deploy"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md") && !name.includes("vendor/"))
      .map((name) => `${folder}/${name}`),
  );
  // Commands in the changelog were right for the version that they describe.
  const top = readdirSync(root).filter((name) => name.endsWith(".md") && name !== "CHANGELOG.md");
  return [...top.sort(), ...names.sort()].map((page) => ({
    page,
    text: readFileSync(join(root, page), "utf8"),
  }));
}

const fence = /^\s*(`{3,}|~{3,})\s*(\S*)/;
/** Directly before a block, blank lines apart; before a paragraph it is for its inline commands. */
const markLine = /^\s*<!--\s*test:\s*([a-z-]+)\s*-->\s*$/;

interface Parsed {
  blocks: Block[];
  /** Lines outside of blocks. */
  prose: { line: number; text: string; mark: string | undefined }[];
}

export function parsePage({ page, text }: Page): Parsed {
  const parsed: Parsed = { blocks: [], prose: [] };
  let open: { block: Block; end: string } | undefined;
  let mark: string | undefined;
  let used = false;
  for (const [at, line] of text.split("\n").entries()) {
    if (open !== undefined) {
      if (line.trim() === open.end) {
        parsed.blocks.push(open.block);
        open = undefined;
      } else open.block.text += `${line}\n`;
      continue;
    }
    const found = markLine.exec(line);
    if (found !== null) {
      mark = found[1];
      used = false;
      continue;
    }
    const start = fence.exec(line);
    if (start !== null) {
      const block = { page, line: at + 1, language: start[2] ?? "", text: "", mark };
      open = { block, end: start[1] ?? "" };
      mark = undefined;
      continue;
    }
    if (line.trim() === "") {
      if (used) mark = undefined;
      continue;
    }
    if (mark !== undefined) used = true;
    parsed.prose.push({ line: at + 1, text: line, mark });
  }
  return parsed;
}

/** Every command of a page. `programs`: first words that make a line or a span one. */
export function commandsOf(page: Page, isProgram: (word: string) => boolean): Command[] {
  const { blocks, prose } = parsePage(page);
  return [
    ...blocks.flatMap((block) => commandsOfBlock(block, isProgram)),
    ...prose.flatMap(({ line, text, mark }) =>
      [...text.matchAll(/(?<!`)`([^`]+)`(?!`)/g)]
        .map((match) => (match[1] ?? "").trim())
        // A word alone is the name of something, a path is what one would type.
        .filter((span) => /[\s/]/.test(span) && isProgram(span.split(/\s+/, 1)[0] ?? ""))
        .map((span) => ({ page: page.page, line, text: span, form: "inline" as const, mark })),
    ),
  ].sort((a, b) => a.line - b.line);
}

const shells = new Set(["sh", "bash", "shell", "console"]);

function commandsOfBlock(block: Block, isProgram: (word: string) => boolean): Command[] {
  if (block.mark === "output") return [];
  const lines = block.text.split("\n");
  const prompt = block.language === "console" ? /^[$#] \S/ : /^\$ \S/;
  const prompts =
    ["", "console"].includes(block.language) && lines.some((line) => prompt.test(line));
  const found: Command[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    let text = lines[at] ?? "";
    const line = block.line + 1 + at;
    if (prompts) {
      if (!prompt.test(text)) continue;
      text = text.slice(2);
    } else if (!shells.has(block.language)) {
      // A block without a language may show output, a table or a command line.
      if (block.language !== "" || !isProgram(text.trim().split(/\s+/, 1)[0] ?? "")) continue;
    }
    while (text.endsWith("\\") && at + 1 < lines.length) {
      text = `${text.slice(0, -1)}${(lines[(at += 1)] ?? "").trim()}`;
    }
    const here = /<<-?\s*['"]?(\w+)['"]?/.exec(text)?.[1];
    while (here !== undefined && at + 1 < lines.length) {
      text += `\n${lines[(at += 1)] ?? ""}`;
      if (lines[at]?.trim() === here) break;
    }
    const bare = here === undefined ? withoutComment(text) : text;
    if (bare === "") continue;
    const { page, mark } = block;
    found.push({ page, line, text: bare, form: "block", mark });
  }
  return found;
}

/** A comment begins with "#" behind a blank, outside of quotes. */
function withoutComment(text: string): string {
  let quote = "";
  for (let at = 0; at < text.length; at += 1) {
    const letter = text.charAt(at);
    if (quote !== "") quote = letter === quote ? "" : quote;
    else if (letter === "'" || letter === '"') quote = letter;
    else if (letter === "#" && (at === 0 || /\s/.test(text.charAt(at - 1)))) {
      return text.slice(0, at).trim();
    }
  }
  return text.trim();
}
