/** Bytes between the timestamp and the content of a CRI line: ` stdout F `. */
export const TAG_BYTES = 10;

/** A byte buffer that lines are appended to; `bytes` may be replaced when it grows. */
export class LineBuffer {
  bytes: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const wanted = this.length + count;
    if (wanted <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  clear(): void {
    this.length = 0;
  }

  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}

export type LogStream = "stdout" | "stderr";

/**
 * Appends `<time> <stream> <P|F> <content>\n`, the form that the kubelet and log agents read.
 * `content` must hold no newline: it would let a workload forge the line after it.
 */
export function appendLine(
  out: LineBuffer,
  line: { time: string; stream: LogStream; partial: boolean; content: Uint8Array },
): void {
  const head = `${line.time} ${line.stream} ${line.partial ? "P" : "F"} `;
  out.reserve(head.length + line.content.length + 1);
  out.length += out.bytes.write(head, out.length, "latin1");
  out.bytes.set(line.content, out.length);
  out.length += line.content.length;
  out.bytes[out.length] = 0x0a;
  out.length += 1;
}

/** RFC 3339 in UTC with exactly nine digits of the second. */
export function formatTimeNs(timeNs: bigint): string {
  const seconds = timeNs / 1_000_000_000n;
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${text}.${(timeNs % 1_000_000_000n).toString().padStart(9, "0")}Z`;
}

const LINE =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) (stdout|stderr) [FP] /;

/** Time, in nanoseconds since 1970, and stream of a line of a CRI log; undefined for any other text. */
export function readLine(text: string): { timeNs: bigint; stream: LogStream } | undefined {
  const match = LINE.exec(text);
  if (match === null) return undefined;
  const [, second = "", fraction = "", zone = "", stream] = match;
  const ms = Date.parse(second + zone);
  if (Number.isNaN(ms)) return undefined;
  return {
    timeNs: BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0")),
    stream: stream === "stderr" ? "stderr" : "stdout",
  };
}

const GAP_START = "dockline: ";
const GAP_END =
  " of this container's output are missing here: Docker rotated them away before they were read";

/** True for a line of `appendGap`. */
export function isGap(line: string): boolean {
  return line.includes(` stderr F ${GAP_START}`) && line.includes(GAP_END);
}

/** The line that stands where entries are missing, so that a reader knows of it. */
export function appendGap(out: LineBuffer, timeNs: bigint, missingBytes: number): void {
  const amount = missingBytes > 0 ? `at least ${String(missingBytes)} bytes` : "some bytes";
  appendLine(out, {
    time: formatTimeNs(timeNs),
    stream: "stderr",
    partial: false,
    content: Buffer.from(`${GAP_START}${amount}${GAP_END}`),
  });
}
