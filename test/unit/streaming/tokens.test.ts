import { expect } from "chai";
import { CriError } from "../../../src/errors.ts";
import { createTokenStore } from "../../../src/streaming/tokens.ts";
import type { StreamKind } from "../../../src/streaming/tokens.ts";

function store(capacity?: number) {
  let nowMs = 1_000;
  const tokens = createTokenStore<Record<StreamKind, string>>({
    clock: { monotonicMs: () => nowMs },
    ...(capacity === undefined ? {} : { capacity }),
  });
  return { tokens, pass: (ms: number) => (nowMs += ms) };
}

describe("streaming tokens", () => {
  it("give their grant once", () => {
    const { tokens } = store();
    const token = tokens.issue("exec", "a");
    expect(tokens.take("exec", token)).to.equal("a");
    expect(tokens.take("exec", token)).to.equal(undefined);
  });

  it("have at least 128 bits and are safe in a path", () => {
    const { tokens } = store(20_000);
    const seen = new Set(Array.from({ length: 1000 }, () => tokens.issue("exec", "")));
    expect(seen.size).to.equal(1000);
    for (const token of seen) {
      expect(token).to.match(/^[A-Za-z0-9_-]+$/);
      expect(Buffer.from(token, "base64url").length * 8).to.be.at.least(128);
    }
  });

  it("are spent by a request of another kind", () => {
    const { tokens } = store();
    const token = tokens.issue("exec", "a");
    expect(tokens.take("attach", token)).to.equal(undefined);
    expect(tokens.take("exec", token)).to.equal(undefined);
  });

  it("live for a minute", () => {
    const { tokens, pass } = store();
    const first = tokens.issue("exec", "a");
    pass(59_999);
    const second = tokens.issue("exec", "b");
    expect(tokens.take("exec", first)).to.equal("a");
    pass(60_000);
    expect(tokens.take("exec", second)).to.equal(undefined);
  });

  it("are refused over the limit until old ones are used or expire", () => {
    const { tokens, pass } = store(3);
    const first = tokens.issue("exec", "1");
    tokens.issue("attach", "2");
    tokens.issue("portforward", "3");
    expect(() => tokens.issue("exec", "4"))
      .to.throw(CriError)
      .with.property("kind", "ResourceExhausted");
    expect(tokens.take("exec", first)).to.equal("1");
    tokens.issue("exec", "4");
    pass(60_000);
    for (const grant of ["5", "6", "7"]) tokens.issue("exec", grant);
  });

  it("that were never issued give nothing", () => {
    const { tokens } = store();
    for (const token of ["", "x", "x".repeat(32), "__proto__", "x".repeat(10_000)]) {
      expect(tokens.take("exec", token)).to.equal(undefined);
    }
  });
});
