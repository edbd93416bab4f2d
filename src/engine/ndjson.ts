/** A line that never ends would take all memory: the stream is given up instead. */
export class LineTooLong extends Error {
  override readonly name = "LineTooLong";
}

const newline = 0x0a;

/**
 * Splits a byte stream into lines, wherever its chunks were cut. Empty lines are left out, and so is
 * a carriage return at the end. Bytes are decoded per line, so that a cut character survives.
 */
export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes. Throws LineTooLong. */
  push(chunk: Uint8Array): string[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: string[] = [];
    let from = 0;
    for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, from)) {
      this.#keep(bytes.subarray(from, at));
      this.#take(lines);
      from = at + 1;
    }
    if (from < bytes.length) this.#keep(bytes.subarray(from));
    return lines;
  }

  /** The last line, when the stream ended without a line feed. */
  end(): string[] {
    const lines: string[] = [];
    this.#take(lines);
    return lines;
  }

  #keep(part: Buffer): void {
    this.#size += part.length;
    if (this.#size > this.#maxBytes) {
      this.#parts = [];
      throw new LineTooLong(`a line of more than ${this.#maxBytes} bytes`);
    }
    this.#parts.push(part);
  }

  #take(lines: string[]): void {
    const [only] = this.#parts;
    const bytes =
      this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts);
    const text = bytes.toString("utf8");
    const line = text.endsWith("\r") ? text.slice(0, -1) : text;
    if (line !== "") lines.push(line);
    this.#parts = [];
    this.#size = 0;
  }
}

/** The lines of a stream; destroys it when the reader stops early. */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string, void, undefined> {
  const splitter = new LineSplitter(maxBytes);
  for await (const chunk of source) yield* splitter.push(chunk);
  yield* splitter.end();
}
