import { appendLine, TAG_BYTES, type LineBuffer, type LogStream } from "./format.ts";

/** What a conversion met, added up by the caller. */
export interface ConvertCounts {
  /** Lines, or parts of lines, that were no log entry. */
  unreadable: number;
}

const NEWLINE = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE = 0x7d;
const ENTRY_START = Buffer.from('{"log":"');
const STREAM_KEY = Buffer.from('","stream":"std');
const TIME_KEY = Buffer.from(',"time":"');
const ATTRS_KEY = Buffer.from(',"attrs":');
const OUT = Buffer.from('out"');
const ERR = Buffer.from('err"');
const STDOUT_TAG = Buffer.from(" stdout ");
const STDERR_TAG = Buffer.from(" stderr ");
/** Longest RFC 3339 time with nanoseconds and a numeric zone. */
const LONGEST_TIME = 35;
const SHORTEST_ENTRY = '{"log":"","stream":"stdout","time":"2006-01-02T15:04:05Z"}'.length;

function matches(source: Buffer, at: number, wanted: Buffer): boolean {
  for (let i = 0; i < wanted.length; i += 1) if (source[at + i] !== wanted[i]) return false;
  return true;
}

/** Value of four hex digits, -1 when they are none. */
function hex4(source: Buffer, at: number): number {
  let value = 0;
  for (let i = 0; i < 4; i += 1) {
    const byte = source[at + i] ?? 0;
    const lower = byte | 0x20;
    if (byte >= 0x30 && byte <= 0x39) value = value * 16 + (byte - 0x30);
    else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + (lower - 0x57);
    else return -1;
  }
  return value;
}

function putUtf8(out: Buffer, at: number, code: number): number {
  if (code < 0x80) {
    out[at] = code;
    return at + 1;
  }
  if (code < 0x800) {
    out[at] = 0xc0 | (code >> 6);
    out[at + 1] = 0x80 | (code & 0x3f);
    return at + 2;
  }
  if (code < 0x10000) {
    out[at] = 0xe0 | (code >> 12);
    out[at + 1] = 0x80 | ((code >> 6) & 0x3f);
    out[at + 2] = 0x80 | (code & 0x3f);
    return at + 3;
  }
  out[at] = 0xf0 | (code >> 18);
  out[at + 1] = 0x80 | ((code >> 12) & 0x3f);
  out[at + 2] = 0x80 | ((code >> 6) & 0x3f);
  out[at + 3] = 0x80 | (code & 0x3f);
  return at + 4;
}

/** The byte that a one-letter JSON escape stands for, 0 when there is none such. */
function shortEscape(letter: number): number {
  switch (letter) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
      return letter;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return 0;
  }
}

/**
 * One entry exactly as the json-file writer lays it out (log, stream, perhaps attrs, time), in one
 * pass over its bytes. False, with nothing appended, for anything else. The output is never longer
 * than the entry, since every escape shrinks and the frame around the content does too.
 */
function convertEntry(source: Buffer, start: number, end: number, out: LineBuffer): boolean {
  if (end - start < SHORTEST_ENTRY || source[end - 1] !== BRACE || source[end - 2] !== QUOTE)
    return false;
  if (!matches(source, start, ENTRY_START)) return false;
  const timeEnd = end - 2;
  let timeStart = timeEnd;
  while (timeEnd - timeStart < LONGEST_TIME && source[timeStart - 1] !== QUOTE) timeStart -= 1;
  const tail = timeStart - TIME_KEY.length;
  if (timeStart === timeEnd || !matches(source, tail, TIME_KEY)) return false;

  out.reserve(end - start + 1);
  const bytes = out.bytes;
  let to = out.length;
  for (let i = timeStart; i < timeEnd; i += 1) {
    const byte = source[i] ?? 0;
    // Digits and + - . / : lie together; T and Z are the only letters of a time.
    if ((byte < 0x2b || byte > 0x3a) && byte !== 0x54 && byte !== 0x5a) return false;
    bytes[to++] = byte;
  }
  const tag = to;
  to += TAG_BYTES;

  let from = start + ENTRY_START.length;
  let partial = true;
  for (;;) {
    const byte = source[from] ?? 0;
    if (byte === QUOTE) break;
    if (from >= tail) return false;
    if (byte !== BACKSLASH) {
      bytes[to++] = byte;
      from += 1;
      continue;
    }
    const letter = source[from + 1] ?? 0;
    if (letter === 0x6e) {
      // Docker splits at newlines, so one can only end an entry.
      if (source[from + 2] !== QUOTE) return false;
      partial = false;
      from += 2;
      break;
    }
    if (letter !== 0x75) {
      const plain = shortEscape(letter);
      if (plain === 0) return false;
      bytes[to++] = plain;
      from += 2;
      continue;
    }
    let code = hex4(source, from + 2);
    if (code < 0 || code === NEWLINE) return false;
    from += 6;
    if (code >= 0xd800 && code <= 0xdfff) {
      const paired = code <= 0xdbff && source[from] === BACKSLASH && source[from + 1] === 0x75;
      const low = paired ? hex4(source, from + 2) : -1;
      if (low >= 0xdc00 && low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        from += 6;
      } else code = 0xfffd;
    }
    to = putUtf8(bytes, to, code);
  }

  if (!matches(source, from, STREAM_KEY)) return false;
  from += STREAM_KEY.length;
  const error = matches(source, from, ERR);
  if (!error && !matches(source, from, OUT)) return false;
  from += 4;
  if (from !== tail && !(matches(source, from, ATTRS_KEY) && source[tail - 1] === BRACE))
    return false;

  const stream = error ? STDERR_TAG : STDOUT_TAG;
  for (let i = 0; i < stream.length; i += 1) bytes[tag + i] = stream[i] ?? 0;
  bytes[tag + 8] = partial ? 0x50 : 0x46;
  bytes[tag + 9] = SPACE;
  bytes[to++] = NEWLINE;
  out.length = to;
  return true;
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** An entry in any other valid JSON form. False when it is none. */
function convertJson(text: string, out: LineBuffer): boolean {
  let entry: unknown;
  try {
    entry = JSON.parse(text);
  } catch {
    return false;
  }
  if (typeof entry !== "object" || entry === null) return false;
  const { log = "", stream = "stdout", time } = entry as Record<string, unknown>;
  if (typeof log !== "string" || typeof time !== "string" || !TIME.test(time)) return false;
  if (stream !== "stdout" && stream !== "stderr") return false;
  appendText(out, time, stream, log);
  return true;
}

function appendText(out: LineBuffer, time: string, stream: LogStream, text: string): void {
  const parts = text.split("\n");
  parts.forEach((part, index) => {
    const partial = index === parts.length - 1;
    if (partial && part === "") return;
    appendLine(out, { time, stream, partial, content: Buffer.from(part) });
  });
}

/**
 * Converts the complete lines in `source` and returns how many bytes they took. A line that is no
 * entry is left out and counted. When dockerd died within a write the next entry follows the half
 * one without a newline between; since quotes within an entry are escaped, the last `{"log":"` is
 * where the whole one begins.
 */
export function convertLines(source: Buffer, out: LineBuffer, counts: ConvertCounts): number {
  let start = 0;
  for (;;) {
    const end = source.indexOf(NEWLINE, start);
    if (end < 0) return start;
    if (end > start && !convertEntry(source, start, end, out)) {
      const line = source.subarray(start, end);
      if (!convertJson(line.toString("utf8"), out)) {
        counts.unreadable += 1;
        const whole = line.lastIndexOf(ENTRY_START);
        if (whole > 0) convertEntry(source, start + whole, end, out);
      }
    }
    start = end + 1;
  }
}

/**
 * The same for bytes of which nothing more comes, or that are longer than any line: half an entry at the end of a
 * file that grows no more, or a line that is none of Docker's, is left out and counted.
 */
export function convertAll(source: Buffer, out: LineBuffer, counts: ConvertCounts): number {
  const done = convertLines(source, out, counts);
  if (done > 0 || source.length === 0) return done;
  counts.unreadable += 1;
  return source.length;
}
