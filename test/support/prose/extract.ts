import { readFileSync, readdirSync } from "node:fs";
import { extname, join } from "node:path";
import ts from "typescript";
import { parsePage, root } from "../../docs/extract.ts";

/** A paragraph, comment or text that a person reads, without code. Its first line counts from 1. */
export interface Prose {
  path: string;
  line: number;
  text: string;
}
type Reader = (text: string) => Omit<Prose, "path">[];

const folders = ["docs", "deploy", "scripts", "src", "test", "bin", ".ci", ".github"];
/** Generated, vendored, or the words themselves. */
const left =
  /(?:^|\/)(?:node_modules|vendor|gen|fields|benchmarks|prose)\/|^test\/unit\/plain-english/;

/** All prose of the repository. */
export function allProse(): Prose[] {
  const top = readdirSync(root).filter((name) => name.endsWith(".md"));
  const below = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1)),
  );
  return [...top, ...below]
    .filter((path) => !left.test(path))
    .flatMap((path) => {
      const found = readerOf(path)?.(readFileSync(join(root, path), "utf8")) ?? [];
      return found.map((one) => ({ path, ...one }));
    });
}

function readerOf(path: string): Reader | undefined {
  switch (extname(path)) {
    case ".md":
      return ofPage;
    case ".ts":
      return ofTypeScript;
    case ".c":
    case ".h":
    case ".proto":
      return ofSlashes;
    case ".sh":
    case ".bash":
    case ".yaml":
    case ".yml":
    case ".service":
    case ".socket":
      return ofHashes;
    default:
      return /^(?:test\/lanes|scripts|\.ci|deploy\/debian)\/[^.]+$/.test(path)
        ? ofHashes
        : undefined;
  }
}

/** Paragraphs, list entries and table rows outside of fenced blocks; what is in backticks is left out. */
export function ofPage(text: string): Omit<Prose, "path">[] {
  const found: Omit<Prose, "path">[] = [];
  let end = 0;
  for (const { line, text: words } of parsePage({ page: "", text }).prose) {
    const last = found.at(-1);
    if (last !== undefined && line === end + 1 && !/^\s*(?:[-*|#>]|\d+\.)/.test(words)) {
      last.text += ` ${words.trim()}`;
    } else found.push({ line, text: words });
    end = line;
  }
  return found.map(({ line, text: words }) => ({ line, text: withoutCode(words) }));
}

/** Comments, and texts of more than one word. */
export function ofTypeScript(text: string): Omit<Prose, "path">[] {
  const file = ts.createSourceFile("", text, ts.ScriptTarget.Latest, true);
  const found: Omit<Prose, "path">[] = [];
  const add = (start: number, words: string): void => {
    const { line } = file.getLineAndCharacterOfPosition(start);
    found.push({ line: line + 1, text: joined(words) });
  };
  let seen = 0;
  const visit = (node: ts.Node): void => {
    // Part of what lies between two tokens, like any comment.
    if (ts.isJSDoc(node)) return;
    const children = node.getChildren(file);
    if (children.length > 0) {
      children.forEach(visit);
      return;
    }
    // Between the tokens there is nothing but comments.
    const between = text.slice(seen, node.getStart(file));
    for (const match of between.matchAll(comments)) add(seen + match.index, match[0]);
    seen = node.end;
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateHead(node);
    if ((isText || ts.isTemplateMiddleOrTemplateTail(node)) && /\S\s+\S/.test(node.text)) {
      add(node.getStart(file), node.text);
    }
  };
  visit(file);
  return found;
}

/** A block, or lines below one another. */
const comments = /\/\*[^]*?\*\/|(?:(?<![:"'])\/\/.*(?:\n\s*(?=\/\/))?)+/g;
const hashes = /(?:(?<=^|\s)#(?!!).*(?:\n\s*(?=#))?)+/gm;
export const ofSlashes: Reader = (text) => matchesOf(text, comments);
export const ofHashes: Reader = (text) => matchesOf(text, hashes);

function matchesOf(text: string, pattern: RegExp): Omit<Prose, "path">[] {
  return [...text.matchAll(pattern)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    text: joined(match[0]),
  }));
}

/** One line, without the marks that begin lines of comments. */
const joined = (text: string): string =>
  withoutCode(text.replaceAll(/\s*\n\s*(?:\*(?!\/)|\/\/|#)?\s*/g, " "));

const withoutCode = (text: string): string => text.replaceAll(/`[^`]*`/g, "`…`");
