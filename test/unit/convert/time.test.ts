import { expect } from "chai";
import fc from "fast-check";
import { formatTimeNs, parseTimeNs } from "../../../src/convert/time.ts";

describe("convert/time", () => {
  for (const [text, ns] of [
    ["2024-02-29T12:34:56.123456789Z", 1_709_210_096_123_456_789n],
    ["2024-02-29T12:34:56Z", 1_709_210_096_000_000_000n],
    ["2024-02-29T12:34:56.1Z", 1_709_210_096_100_000_000n],
    ["2024-02-29T14:34:56.123456789+02:00", 1_709_210_096_123_456_789n],
    ["2024-02-29T07:04:56.000000001-05:30", 1_709_210_096_000_000_001n],
    ["2024-02-29t12:34:56.1234567899z", 1_709_210_096_123_456_789n],
    ["1969-12-31T23:59:59.999999999Z", -1n],
    ["0001-01-01T00:00:00Z", 0n],
    ["0001-01-01T00:00:00.5Z", 0n],
    ["", 0n],
    ["yesterday", 0n],
    ["2024-02-29 12:34:56Z", 0n],
  ] as const) {
    it(`reads ${JSON.stringify(text)}`, () => {
      expect(parseTimeNs(text)).to.equal(ns);
    });
  }

  it("keeps every nanosecond", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -10_000_000_000_000_000_000n, max: 200_000_000_000_000_000_000n }),
        (ns) => {
          expect(parseTimeNs(formatTimeNs(ns))).to.equal(ns);
        },
      ),
    );
  });

  it("writes never as Docker does", () => {
    expect(formatTimeNs(0n)).to.equal("0001-01-01T00:00:00Z");
    expect(formatTimeNs(1_709_210_096_000_000_001n)).to.equal("2024-02-29T12:34:56.000000001Z");
  });
});
