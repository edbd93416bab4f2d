import type { Psi, PsiLine } from "./figures.ts";

/** The number behind `key ` at the start of a line; undefined without such a line. */
export function numberOf(text: string, key: string): bigint | undefined {
  let at = text.indexOf(key);
  // The same letters may end another key ("inactive_file" in "total_inactive_file").
  while (at !== -1) {
    const end = at + key.length;
    const startsLine = at === 0 || text.charCodeAt(at - 1) === 10;
    if (startsLine && text.charCodeAt(end) === 32) return numberAt(text, end + 1);
    at = text.indexOf(key, end);
  }
  return undefined;
}

/** A file that holds one number; undefined for anything else ("max", "-1"). */
export function wholeNumber(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const end = endOfDigits(text, 0);
  const rest = text.charCodeAt(end);
  return end > 0 && (Number.isNaN(rest) || rest === 10) ? digits(text, 0, end) : undefined;
}

/** The digits from a place in a text on; undefined when there are none. */
export function numberAt(text: string, from: number): bigint | undefined {
  const end = endOfDigits(text, from);
  return end > from ? digits(text, from, end) : undefined;
}

function endOfDigits(text: string, from: number): number {
  let at = from;
  for (let code = text.charCodeAt(at); code >= 48 && code <= 57; code = text.charCodeAt(at)) {
    at += 1;
  }
  return at;
}

/** By way of a double where it is exact: a third of the time, hundreds of times for each sweep. */
function digits(text: string, from: number, end: number): bigint {
  if (end - from > 15) return BigInt(text.slice(from, end));
  let value = 0;
  for (let at = from; at < end; at += 1) value = value * 10 + text.charCodeAt(at) - 48;
  return BigInt(value);
}

/** A pressure file of cgroup v2: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and "full". */
export function parsePsi(text: string | undefined): Psi | undefined {
  if (text === undefined) return undefined;
  const full = text.indexOf("full ");
  const psi = {
    some: text.startsWith("some ") ? psiLine(text, 0) : undefined,
    full: full === -1 ? undefined : psiLine(text, full),
  };
  return psi.some === undefined && psi.full === undefined ? undefined : psi;
}

function psiLine(text: string, from: number): PsiLine | undefined {
  const total = text.indexOf("total=", from);
  const totalUs = total === -1 ? undefined : numberAt(text, total + 6);
  if (totalUs === undefined) return undefined;
  return {
    totalUs,
    avg10: percentage(text, "avg10=", from),
    avg60: percentage(text, "avg60=", from),
    avg300: percentage(text, "avg300=", from),
  };
}

function percentage(text: string, key: string, from: number): number {
  const start = text.indexOf(key, from) + key.length;
  return Number(text.slice(start, text.indexOf(" ", start)));
}

/** `a - b`, or 0 where the two were read at different moments and cross. */
export function less(a: bigint, b: bigint): bigint {
  return a > b ? a - b : 0n;
}
