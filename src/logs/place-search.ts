import { readLine, type LineBuffer, type LogStream } from "./format.ts";
import type { WrittenLine } from "./log-lines.ts";
import { convertLines } from "./parse.ts";
import type { SourcePosition } from "./position.ts";
import type { SourceChain } from "./source.ts";
import { ROUND_SLICES, type Workspace } from "./workspace.ts";

const NEWLINE = 0x0a;

/** Where in Docker's files the first entry is that the log has not. */
export interface Place {
  source: SourcePosition | null;
}

/**
 * Finds, by a log's last lines alone, where in Docker's files to go on: behind the last of them that is there.
 * Equal lines of one time, as the parts of a long line can be, are distinguished by their order. Where Docker
 * has none of them any more, entries that are older than the last line of their stream count as written,
 * and so does one of just that time when it is the only one, here and there; the next entry is the place. Only
 * where nothing older is there, lines between may have been rotated away.
 */
export class PlaceSearch {
  /** A chain of its own, which is read once to its end. */
  readonly #chain: SourceChain;
  readonly #lines: WrittenLine[];
  readonly #missing: number;
  /** By text, the first of the lines. */
  readonly #firstOf = new Map<string, number>();
  readonly #lastNs = new Map<LogStream, bigint>();
  readonly #newestNs: bigint;
  /** The line that is next when entries and lines run side by side. */
  #next = 0;
  /** Of the lines, how many come before the place behind the last that was met. */
  #met = 0;
  #behindMet: SourcePosition | null = null;
  #begin: SourcePosition | null = null;
  /** Of the first entry that is not older than the lines of its stream. */
  #notOlder: SourcePosition | null = null;
  #hasOlder = false;
  /** Streams with a single last line of its time, and the entry of that time, once met. */
  readonly #twinOf = new Map<LogStream, SourcePosition | null>();

  /** `missing`: bytes known to be missing should everything that Docker has come after the lines. */
  constructor(chain: SourceChain, lines: WrittenLine[], missing = 0) {
    this.#chain = chain;
    this.#lines = lines;
    this.#missing = missing;
    let newestNs = 0n;
    lines.forEach(({ text, timeNs, stream, isGap }, index) => {
      if (!this.#firstOf.has(text)) this.#firstOf.set(text, index);
      if (isGap) return;
      // One with NULs may be what a power cut left of it: it is written once more.
      if (this.#lastNs.get(stream) === timeNs || text.includes("\0")) this.#twinOf.delete(stream);
      else this.#twinOf.set(stream, null);
      this.#lastNs.set(stream, timeNs);
      newestNs = timeNs;
    });
    this.#newestNs = newestNs;
  }

  /** Looks through up to two megabytes; undefined until the place is known. */
  round({ input, output }: Workspace): { bytes: number; place?: Place } {
    this.#chain.discover();
    if (!this.#chain.hasFiles) return { bytes: 0 };
    this.#begin ??= this.#chain.position();
    let bytes = 0;
    for (let slice = 0; slice < ROUND_SLICES; slice += 1) {
      const complete = this.#chain.headIsComplete;
      const count = this.#chain.read(input);
      const given = input.subarray(0, count);
      let done = this.#lookThrough(given, output);
      if (done === 0 && count > 0 && (complete || count === input.length)) done = count;
      this.#chain.advance(done, given);
      bytes += done;
      if (this.#met === this.#lines.length) return { bytes, place: { source: this.#behindMet } };
      if (complete && done === 0) this.#chain.shift();
      else if (!complete && count < input.length) return { bytes, place: this.#atEnd() };
    }
    return { bytes };
  }

  close(): void {
    this.#chain.close();
  }

  /** Bytes of the whole entries among these. */
  #lookThrough(given: Buffer, output: LineBuffer): number {
    let start = 0;
    let behindMet: number | undefined;
    while (this.#met < this.#lines.length) {
      const end = given.indexOf(NEWLINE, start) + 1;
      if (end === 0) break;
      output.clear();
      convertLines(given.subarray(start, end), output, { unreadable: 0 });
      for (const text of output.view().toString("latin1").split("\n").slice(0, -1)) {
        if (this.#meet(text)) behindMet = end;
        else if (this.#met === 0 && this.#notOlder === null)
          this.#judge(text, () => this.#chain.position(start, given));
      }
      start = end;
    }
    if (behindMet !== undefined) this.#behindMet = this.#chain.position(behindMet, given);
    return start;
  }

  /** True when it is a line further on than all before. */
  #meet(text: string): boolean {
    const at = this.#lines[this.#next]?.text === text ? this.#next : this.#firstOf.get(text);
    if (at === undefined) return false;
    this.#next = at + 1;
    if (this.#next <= this.#met) return false;
    this.#met = this.#next;
    return true;
  }

  /** Whether the entry is in the log, by its time. */
  #judge(text: string, position: () => SourcePosition | null): void {
    const read = readLine(text);
    if (read === undefined) return;
    const { timeNs, stream } = read;
    const lastNs = this.#lastNs.get(stream) ?? this.#newestNs;
    if (timeNs < lastNs) {
      this.#hasOlder = true;
      return;
    }
    const twin = timeNs === lastNs ? this.#twinOf.get(stream) : undefined;
    if (twin === null) this.#twinOf.set(stream, position());
    else this.#notOlder = twin ?? position();
    if (twin) this.#twinOf.delete(stream);
  }

  #atEnd(): Place {
    if (this.#met > 0) return { source: this.#behindMet };
    if (this.#notOlder === null) return { source: this.#chain.position() };
    const hasOlder = this.#hasOlder || [...this.#twinOf.values()].some((twin) => twin !== null);
    if (hasOlder || this.#begin === null || this.#lines.at(-1)?.isGap === true)
      return { source: this.#notOlder };
    return { source: { ...this.#begin, missing: this.#missing } };
  }
}
