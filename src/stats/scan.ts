import type { Psi, PsiLine } from "./figures.ts";

/** The number behind `key ` at the start of a line; undefined without such a line. */
export function numberOf(text: string, key: string): bigint | undefined {
  const start = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1;
  if (start === 0 && !text.startsWith(`${key} `)) return undefined;
  const from = start + key.length + 1;
  const end = text.indexOf("\n", from);
  return wholeNumber(end === -1 ? text.slice(from) : text.slice(from, end));
}

/** A file that holds one number; undefined for anything else ("max"). */
export function wholeNumber(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const trimmed = text.trim();
  return /^\d+$/.test(trimmed) ? BigInt(trimmed) : undefined;
}

/** A pressure file of cgroup v2. */
export function parsePsi(text: string | undefined): Psi | undefined {
  if (text === undefined || text === "") return undefined;
  const psi: Psi = { some: undefined, full: undefined };
  for (const line of text.split("\n")) {
    if (line.startsWith("some ")) psi.some = psiLine(line);
    else if (line.startsWith("full ")) psi.full = psiLine(line);
  }
  return psi.some === undefined && psi.full === undefined ? undefined : psi;
}

function psiLine(line: string): PsiLine | undefined {
  const [, avg10, avg60, avg300, total] = line.split(" ").map((part) => part.split("=")[1] ?? "");
  const totalUs = wholeNumber(total);
  if (totalUs === undefined) return undefined;
  return { totalUs, avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300) };
}

/** `a - b`, or 0 where the two were read at different moments and cross. */
export function less(a: bigint, b: bigint): bigint {
  return a > b ? a - b : 0n;
}
