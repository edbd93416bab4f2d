import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

const ESCAPES = new Map([
  [0x0a, "\\n"],
  [0x0d, "\\r"],
  [0x22, '\\"'],
  [0x5c, "\\\\"],
]);

/** JSON text of bytes as the engine's json-file driver escapes them: broken UTF-8 is U+FFFD. */
function quote(content: Uint8Array): string {
  const ascii = Buffer.from(content).toString("latin1");
  if (/^[\w .:/=-]*$/.test(ascii)) return ascii;
  let text = "";
  // Each invalid byte is one replacement character there, but not always in TextDecoder.
  for (let i = 0; i < content.length;) {
    const byte = content[i] ?? 0;
    const size = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    const piece = Buffer.from(content.subarray(i, i + size));
    let char: string;
    try {
      char = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(piece);
      i += size;
    } catch {
      text += "\\ufffd";
      i += 1;
      continue;
    }
    const code = char.codePointAt(0) ?? 0;
    const special =
      code < 0x20 || code === 0x3c || code === 0x3e || code === 0x26 || (code | 1) === 0x2029;
    text += ESCAPES.get(code) ?? (special ? `\\u${code.toString(16).padStart(4, "0")}` : char);
  }
  return text;
}

/** Nanoseconds' digits without trailing zeros, as Go prints RFC3339Nano. */
export function goTime(second: number, nanosecond: number): string {
  const date = new Date(second * 1000).toISOString().slice(0, 19);
  const digits = String(nanosecond).padStart(9, "0").replace(/0+$/, "");
  return `${date}${digits === "" ? "" : `.${digits}`}Z`;
}

export function entry(
  content: Uint8Array,
  options: { stream?: "stdout" | "stderr"; partial?: boolean; time?: string; attrs?: string } = {},
): Buffer {
  const { stream = "stdout", partial = false, time = "2026-01-02T03:04:05.123456789Z" } = options;
  const attrs = options.attrs === undefined ? "" : `"attrs":${options.attrs},`;
  const log = quote(content) + (partial ? "" : "\\n");
  return Buffer.from(`{"log":"${log}","stream":"${stream}",${attrs}"time":"${time}"}\n`);
}

/** Writes and rotates as the engine's json-file driver does, one write for each entry. */
export class JsonFileWriter {
  readonly path: string;
  readonly #maxSize: number;
  readonly #maxFiles: number;
  #fd: number;
  #size: number;

  constructor(path: string, options: { maxSize: number; maxFiles: number }) {
    this.path = path;
    this.#maxSize = options.maxSize;
    this.#maxFiles = options.maxFiles;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640);
    this.#size = fstatSync(this.#fd).size;
  }

  write(line: Uint8Array): void {
    if (this.#size >= this.#maxSize) this.#rotate();
    writeSync(this.#fd, line);
    this.#size += line.length;
  }

  line(text: string): void {
    this.write(entry(Buffer.from(text)));
  }

  close(): void {
    closeSync(this.#fd);
  }

  #rotate(): void {
    closeSync(this.#fd);
    const { path } = this;
    if (this.#maxFiles > 1) {
      rmSync(`${path}.${String(this.#maxFiles - 1)}`, { force: true });
      for (let i = this.#maxFiles - 1; i > 1; i -= 1) {
        const from = `${path}.${String(i - 1)}`;
        if (existsSync(from)) renameSync(from, `${path}.${String(i)}`);
      }
      renameSync(path, `${path}.1`);
    }
    this.#fd = openSync(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_CREAT, 0o640);
    this.#size = 0;
  }
}

/** With `max-file=1` older engines empty the file in place. */
export class TruncatingWriter {
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640);
  }

  line(text: string): void {
    writeSync(this.#fd, entry(Buffer.from(text)));
  }

  empty(): void {
    closeSync(openSync(this.#path, constants.O_WRONLY | constants.O_TRUNC));
  }

  close(): void {
    closeSync(this.#fd);
  }
}
