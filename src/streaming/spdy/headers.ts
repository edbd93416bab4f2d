import { constants, inflateRawSync } from "node:zlib";
import { spdyDictionary, spdyDictionaryId } from "./dictionary.ts";
import { SpdyError } from "./frames.ts";

/** Header blocks of one connection and direction; their state spans all frames, in order. */

/** Plain size of one block; inflating stops there. */
export const maxHeaderBlockBytes = 64 << 10;
export const maxHeaders = 64;

/** Room that zlib gets for a block at first; its own 16 KiB would be garbage for every stream. */
const usualBlockBytes = 1 << 10;

/** How far back deflate can point. */
const windowBytes = 32 << 10;
const zlibHeadBytes = 6;

/**
 * Every block ends in a sync flush, so it starts on a byte border and can be inflated on its own,
 * given the plain text before it as dictionary. This needs no stream object that would inflate
 * asynchronously and whose output could not be capped.
 */
export class HeaderInflater {
  readonly #history = new History();
  #started = false;

  /** Throws SpdyError; the connection cannot go on then, since the state is lost. */
  inflate(block: Buffer): Map<string, string> {
    let raw = block;
    if (!this.#started) {
      checkZlibHead(block);
      raw = block.subarray(zlibHeadBytes);
      this.#started = true;
    }
    const plain = inflateBlock(raw, this.#history.window);
    this.#history.add(plain);
    return parseHeaders(plain);
  }
}

/** The text before the next block, as far back as deflate can point. It grows with what is added. */
class History {
  #bytes = Buffer.from(spdyDictionary);
  #end = spdyDictionary.length;

  get window(): Buffer {
    return this.#bytes.subarray(Math.max(0, this.#end - windowBytes), this.#end);
  }

  add(text: Buffer): void {
    if (this.#end + text.length > this.#bytes.length) {
      const { window } = this;
      // Twice what is needed, so that most blocks move nothing.
      this.#bytes = Buffer.alloc(2 * (window.length + text.length));
      this.#end = window.copy(this.#bytes);
    }
    this.#end += text.copy(this.#bytes, this.#end);
  }
}

function checkZlibHead(block: Buffer): void {
  const valid =
    block.length >= zlibHeadBytes &&
    (block.readUInt8(0) & 0x0f) === 8 &&
    (block.readUInt8(1) & 0x20) !== 0 &&
    block.readUInt16BE(0) % 31 === 0 &&
    block.readUInt32BE(2) === spdyDictionaryId;
  if (!valid) throw new SpdyError("the header block is not zlib with the SPDY dictionary");
}

function inflateBlock(raw: Buffer, dictionary: Buffer): Buffer {
  try {
    return inflateRawSync(raw, {
      dictionary,
      chunkSize: usualBlockBytes,
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: maxHeaderBlockBytes,
    });
  } catch (cause) {
    const tooLarge = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    const what = tooLarge ? `is over ${maxHeaderBlockBytes} bytes` : "cannot be inflated";
    throw new SpdyError(`the header block ${what}`, { cause });
  }
}

function parseHeaders(plain: Buffer): Map<string, string> {
  let offset = 0;
  const readLength = (): number => {
    if (plain.length - offset < 4) throw new SpdyError("the header block is cut off");
    const value = plain.readUInt32BE(offset);
    offset += 4;
    return value;
  };
  const readText = (): string => {
    const length = readLength();
    if (plain.length - offset < length) throw new SpdyError("the header block is cut off");
    const text = plain.toString("latin1", offset, offset + length);
    offset += length;
    return text;
  };
  const count = readLength();
  if (count > maxHeaders) throw new SpdyError(`${count} headers are over ${maxHeaders}`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const name = readText();
    if (name === "" || name !== name.toLowerCase()) throw new SpdyError("bad header name");
    if (headers.has(name)) throw new SpdyError("a header name came twice");
    headers.set(name, readText());
  }
  if (offset !== plain.length) throw new SpdyError("bytes are left after the headers");
  return headers;
}

/** Deflate in stored blocks: our blocks are tiny and few, and a compressor per connection is not. */
export class HeaderDeflater {
  #started = false;

  deflate(headers: ReadonlyMap<string, string>): Buffer {
    const plain = serializeHeaders(headers);
    if (plain.length > 0xffff) throw new RangeError("header block over 64 KiB");
    const head = this.#started ? [] : [zlibHead()];
    this.#started = true;
    // Go's inflater hands out bytes only when the empty block of a sync flush follows.
    return Buffer.concat([...head, storedBlock(plain), storedBlock(Buffer.alloc(0))]);
  }
}

function zlibHead(): Buffer {
  const head = Buffer.alloc(zlibHeadBytes);
  // Method deflate, 32 KiB window, preset dictionary; a multiple of 31.
  head.writeUInt16BE(0x78bb, 0);
  head.writeUInt32BE(spdyDictionaryId, 2);
  return head;
}

function storedBlock(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt16LE(bytes.length, 1);
  head.writeUInt16LE(~bytes.length & 0xffff, 3);
  return Buffer.concat([head, bytes]);
}

function serializeHeaders(headers: ReadonlyMap<string, string>): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(headers.size);
  const parts = [count];
  for (const [name, value] of headers) {
    for (const text of [name, value]) {
      const bytes = Buffer.from(text, "latin1");
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      parts.push(length, bytes);
    }
  }
  return Buffer.concat(parts);
}
