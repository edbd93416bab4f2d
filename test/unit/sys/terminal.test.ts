import { PassThrough } from "node:stream";
import { expect } from "chai";
import { coloured } from "../../../src/sys/terminal.ts";

describe("colours", () => {
  const terminal = (colorDepth: number): PassThrough =>
    Object.assign(new PassThrough(), { isTTY: true, getColorDepth: () => colorDepth });

  // What starts the tests may have set these.
  const names = ["FORCE_COLOR", "NO_COLOR"];
  const before = names.map((name) => process.env[name]);
  beforeEach(() => {
    for (const name of names) delete process.env[name];
  });
  afterEach(() => {
    for (const [at, name] of names.entries()) {
      if (before[at] !== undefined) process.env[name] = before[at];
    }
  });

  it("are for terminals that show them, and for nothing else", () => {
    expect(coloured("error", "x", terminal(8))).to.match(/^\x1b\[.*x.*\x1b\[/);
    expect(coloured("error", "x", new PassThrough())).to.equal("x");
    // What Node tells of TERM=dumb and NO_COLOR.
    expect(coloured("error", "x", terminal(1))).to.equal("x");
  });
});
