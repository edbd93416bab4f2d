import { expect } from "chai";
import fc from "fast-check";
import { LineBuffer } from "../../../src/logs/format.ts";
import { convertLines } from "../../../src/logs/parse.ts";
import { entry, goTime } from "./json-file-writer.ts";

function convert(source: Uint8Array): { text: Buffer; unreadable: number; taken: number } {
  const out = new LineBuffer(16);
  const counts = { unreadable: 0 };
  const taken = convertLines(Buffer.from(source), out, counts);
  return { text: Buffer.from(out.view()), unreadable: counts.unreadable, taken };
}

/** The obvious way: JSON.parse, then the CRI line. */
function reference(line: Buffer): Buffer {
  const { log, stream, time } = JSON.parse(line.toString("utf8")) as Record<string, string>;
  if (log === undefined) throw new Error("no log");
  const full = log.endsWith("\n");
  const content = full ? log.slice(0, -1) : log;
  return Buffer.from(`${String(time)} ${String(stream)} ${full ? "F" : "P"} ${content}\n`);
}

const content = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.string({ unit: "binary", maxLength: 60 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom('{"log":"', '","stream":"stdout","time":"', "\\", '\\"', "\u2028<&>", "")
    .map((text) => Buffer.from(text)),
);
const anyEntry = fc
  .record({
    content: content.map((bytes) => Buffer.from(bytes).filter((byte) => byte !== 0x0a)),
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    partial: fc.boolean(),
    time: fc
      .tuple(fc.nat({ max: 4_000_000_000 }), fc.nat({ max: 999_999_999 }))
      .map(([second, nanosecond]) => goTime(second, nanosecond)),
    attrs: fc.option(
      fc.json({ maxDepth: 1 }).map((text) => `{"label":${text}}`),
      {
        nil: undefined,
      },
    ),
  })
  // Docker writes no entry for nothing.
  .filter((one) => !(one.partial && one.content.length === 0))
  .map(({ content: bytes, attrs, ...rest }) =>
    entry(bytes, { ...rest, ...(attrs === undefined ? {} : { attrs }) }),
  );

describe("json-file lines", () => {
  it("become what a plain JSON parser makes of them, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 8 }), (lines) => {
        const { text, unreadable } = convert(Buffer.concat(lines));
        expect(text.equals(Buffer.concat(lines.map(reference)))).to.equal(true);
        expect(unreadable).to.equal(0);
      }),
      { numRuns: 500 },
    );
  });

  it("are the same however the reads cut them", () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 6 }), fc.array(fc.nat(300)), (lines, cuts) => {
        const source = Buffer.concat(lines);
        const pieces: Buffer[] = [];
        let offset = 0;
        for (const cut of [...cuts, source.length, source.length]) {
          const { text, taken } = convert(source.subarray(offset, offset + cut));
          pieces.push(text);
          offset += taken;
        }
        expect(offset).to.equal(source.length);
        expect(Buffer.concat(pieces).equals(convert(source).text)).to.equal(true);
      }),
    );
  });

  it("never throw and never give a line that is no CRI line, even on damage", () => {
    const damage = fc.tuple(fc.nat(400), fc.uint8Array({ maxLength: 12 }));
    fc.assert(
      fc.property(
        fc.array(anyEntry, { minLength: 1, maxLength: 4 }),
        fc.array(damage),
        (lines, hits) => {
          const source = Buffer.concat(lines);
          for (const [at, bytes] of hits)
            source.set(
              bytes.subarray(0, Math.max(0, source.length - at)),
              Math.min(at, source.length),
            );
          const { text } = convert(source);
          const form = /^[0-9TZ:.+/,-]+ (stdout|stderr) [PF] /;
          for (const line of text.toString("latin1").split("\n").slice(0, -1))
            expect(line).to.match(form);
          expect(text.length === 0 || text.at(-1) === 0x0a).to.equal(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("keep the carriage returns of a terminal, and a last line without a newline is a part of one", () => {
    const time = "2026-01-02T03:04:05.1Z";
    const line = (log: string): string => `${JSON.stringify({ log, stream: "stdout", time })}\n`;
    expect(convert(Buffer.from(line("a\r\n") + line("end"))).text.toString()).to.equal(
      `${time} stdout F a\r\n${time} stdout P end\n`,
    );
  });

  it("that hold newlines within, as Docker writes none, can't forge a line", () => {
    const forged = "a\n2026-01-01T00:00:00Z stderr F forged";
    const time = "2026-01-02T03:04:05.1Z";
    const source = `${JSON.stringify({ log: forged, stream: "stdout", time })}\n`;
    expect(convert(Buffer.from(source)).text.toString()).to.equal(
      `${time} stdout F a\n${time} stdout P 2026-01-01T00:00:00Z stderr F forged\n`,
    );
    const escaped = source.replace("\\n", "\\u000a");
    expect(convert(Buffer.from(escaped)).text.toString()).to.have.string(`${time} stdout F a\n`);
  });

  it("in another valid form are read too", () => {
    const line = '{ "time":"2026-01-02T03:04:05+02:00", "log":"\\ud83d\\ude00 \\/\\b\\f\\t\\n" }\n';
    expect(convert(Buffer.from(line)).text.toString()).to.equal(
      "2026-01-02T03:04:05+02:00 stdout F 😀 /\b\f\t\n",
    );
    const pair =
      '{"log":"\\ud83d\\ude00 \\ud83d\\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}\n';
    expect(convert(Buffer.from(pair)).text.toString()).to.equal(
      "2026-01-02T03:04:05Z stderr F 😀 \ufffd\n",
    );
  });

  for (const line of [
    "text",
    "null",
    "{}",
    '{"log":"x\\n","stream":"stdin","time":"2026-01-02T03:04:05Z"}',
    '{"log":"x\\n","stream":"stdout","time":"2026 01-02T03:04:05Z"}',
    '{"log":7,"stream":"stdout","time":"2026-01-02T03:04:05Z"}',
    '{"log":"\\q","stream":"stdout","time":"2026-01-02T03:04:05Z"}',
    '{"log":"\\u12","stream":"stdout","time":"2026-01-02T03:04:05Z"}',
  ])
    it(`are left out and counted when they are ${line}`, () => {
      const { text, unreadable } = convert(Buffer.from(`${line}\n`));
      expect(text.length).to.equal(0);
      expect(unreadable).to.equal(1);
    });

  it("after a half entry are found again", () => {
    const half = entry(Buffer.from('a "quoted" text')).subarray(0, 20);
    const { text, unreadable } = convert(Buffer.concat([half, entry(Buffer.from("whole"))]));
    expect(text.toString()).to.equal("2026-01-02T03:04:05.123456789Z stdout F whole\n");
    expect(unreadable).to.equal(1);
  });
});
