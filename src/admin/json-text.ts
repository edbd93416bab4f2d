/** A member of an object in a JSON text, by offsets: [from, to) is the key with its value. */
interface Member {
  readonly key: string;
  readonly from: number;
  readonly valueFrom: number;
  readonly to: number;
}

interface ObjectText {
  readonly members: readonly Member[];
  /** Offsets of "{" and "}". */
  readonly open: number;
  readonly close: number;
}

/**
 * Sets a member in a JSON text and leaves every other byte as it is: files that people keep have an
 * order and a form that parsing and writing would lose. Objects on the way are made.
 *
 * @throws Error when the text is not a JSON object, or has a key twice on the way
 */
export function setMember(text: string, path: readonly string[], value: unknown): string {
  const [key = "", ...rest] = path;
  const found = objectAt(text, start(text), path);
  const member = found.members.find((candidate) => candidate.key === key);
  const unit = indentOf(text);
  if (member !== undefined && rest.length > 0 && text[member.valueFrom] === "{") {
    const inner = text.slice(member.valueFrom, member.to);
    const depth = lineIndent(text, member.from);
    return splice(text, member.valueFrom, member.to, set(inner, rest, value, unit, depth));
  }
  return set(text, path, value, unit, lineIndent(text, found.open));
}

/** Takes a member out of a JSON text, with its comma; nothing when it is not there. */
export function removeMember(text: string, path: readonly string[]): string {
  const [key = "", ...rest] = path;
  const found = objectAt(text, start(text), path);
  const at = found.members.findIndex((candidate) => candidate.key === key);
  const member = found.members[at];
  if (member === undefined) return text;
  if (rest.length > 0) {
    if (text[member.valueFrom] !== "{") return text;
    const inner = removeMember(text.slice(member.valueFrom, member.to), rest);
    return splice(text, member.valueFrom, member.to, inner);
  }
  const before = found.members[at - 1];
  const after = found.members[at + 1];
  if (before !== undefined) return splice(text, before.to, member.to, "");
  if (after !== undefined) return splice(text, member.from, after.from, "");
  return splice(text, found.open + 1, found.close, "");
}

/** `text` is one object that begins with "{"; `depth` the indentation of the line it begins in. */
function set(
  text: string,
  path: readonly string[],
  value: unknown,
  unit: string,
  depth: string,
): string {
  const [key = "", ...rest] = path;
  const found = objectAt(text, start(text), path);
  const member = found.members.find((candidate) => candidate.key === key);
  const inner = rest.reduceRight<unknown>((nested, name) => ({ [name]: nested }), value);
  const last = found.members.at(-1);
  const own = depth + unit;
  const written = JSON.stringify(inner, undefined, unit).replaceAll("\n", `\n${own}`);
  if (member !== undefined) return splice(text, member.valueFrom, member.to, written);
  const entry = `${JSON.stringify(key)}: ${written}`;
  // One line stays one line.
  if (last !== undefined && !text.slice(found.open, last.from).includes("\n")) {
    return splice(text, last.to, last.to, `, ${entry}`);
  }
  if (last !== undefined) {
    return splice(text, last.to, last.to, `,\n${lineIndent(text, last.from)}${entry}`);
  }
  return splice(text, found.open + 1, found.close, `\n${own}${entry}\n${depth}`);
}

const splice = (text: string, from: number, to: number, by: string): string =>
  text.slice(0, from) + by + text.slice(to);

/** The first line's indentation; two spaces where there is none to see. */
function indentOf(text: string): string {
  return /\n([ \t]+)"/.exec(text)?.[1] ?? "  ";
}

function lineIndent(text: string, at: number): string {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at);
  return /^[ \t]*/.exec(line)?.[0] ?? "";
}

function start(text: string): number {
  return skipSpace(text, text.startsWith("\uFEFF") ? 1 : 0);
}

/** The text has passed JSON.parse before: only what is there is walked over. */
function objectAt(text: string, open: number, path: readonly string[]): ObjectText {
  JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text);
  if (text[open] !== "{") throw new Error("the text is not a JSON object");
  const members: Member[] = [];
  let at = skipSpace(text, open + 1);
  while (text[at] !== "}") {
    const keyEnd = endOfValue(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    const valueFrom = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const to = endOfValue(text, valueFrom);
    if (key === path[0] && members.some((member) => member.key === key)) {
      throw new Error(`${JSON.stringify(key)} is there twice`);
    }
    members.push({ key, from: at, valueFrom, to });
    at = skipSpace(text, to);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return { members, open, close: at };
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (/[ \t\r\n]/.test(text[at] ?? "x")) at += 1;
  return at;
}

function endOfValue(text: string, from: number): number {
  let depth = 0;
  let inText = false;
  for (let at = from; at < text.length; at += 1) {
    const char = text[at] ?? "";
    if (inText) {
      if (char === "\\") at += 1;
      else if (char === '"') inText = false;
    } else if (char === '"') inText = true;
    else if (char === "{" || char === "[") depth += 1;
    else if (depth === 0 && /[\s,}\]]/.test(char)) return at;
    else if (char === "}" || char === "]") depth -= 1;
    if (!inText && depth === 0 && /["}\]]/.test(char)) return at + 1;
  }
  return text.length;
}
