import { expect } from "chai";
import { optionsHelp, parseArguments, readArguments } from "../../../src/config/argv.ts";
import { flagName } from "../../../src/config/load.ts";
import { options } from "../../../src/config/options.ts";
import type { OptionKey } from "../../../src/config/options.ts";

describe("the command line", () => {
  it("takes values beside and behind flags, switches alone, and the file", () => {
    const args = ["--state-dir", "/a b", "--run-dir=/c=d", "--shim-per-container", "--config", "f"];
    expect(parseArguments(args)).to.deep.equal({
      flags: { "state-dir": "/a b", "run-dir": "/c=d", "shim-per-container": "true" },
      configFile: "f",
      help: false,
    });
  });

  it("takes an empty value, a value like a flag, a switch that is set off", () => {
    const args = ["--pod-cidr=", "--state-dir", "--run-dir", "--shim-per-container=false"];
    expect(parseArguments(args).flags).to.deep.equal({
      "pod-cidr": "",
      "state-dir": "--run-dir",
      "shim-per-container": "false",
    });
  });

  it("puts the values of a list together and takes the last one of anything else", () => {
    const args = ["--absent-mount-sources-to-reject=/a", "--state-dir=/1", "--state-dir=/2"];
    args.push("--absent-mount-sources-to-reject", "/b,/c");
    expect(parseArguments(args).flags).to.deep.equal({
      "absent-mount-sources-to-reject": "/a,/b,/c",
      "state-dir": "/2",
    });
  });

  it("shows help wherever it is asked for", () => {
    for (const flag of ["--help", "-h"]) {
      expect(parseArguments(["--state-dir=/x", flag]).help).to.equal(true);
    }
  });

  for (const [args, words] of [
    [["serve"], 'unexpected argument "serve"'],
    [["-x"], 'unexpected argument "-x"'],
    [["--state-dir"], "--state-dir needs a value"],
    [["--config"], "--config needs a value"],
    [["--"], "unknown flag"],
    [["--state-dri", "x"], "did you mean --state-dir"],
    [["--__proto__=x"], "unknown flag"],
    [["--constructor", "x"], "unknown flag"],
  ] as const) {
    it(`refuses ${args.join(" ")}`, () => {
      expect(() => parseArguments(args)).to.throw(words);
    });
  }

  it("tells everything that is wrong, and takes the rest", () => {
    const args = ["-x", "--state-dri", "/x", "--state-dir=/y", "--nonsense", "--run-dir"];
    const { flags, problems } = readArguments(args);
    expect(flags).to.deep.equal({ "state-dir": "/y" });
    expect(problems).to.deep.equal([
      'unexpected argument "-x"',
      "unknown flag --state-dri; did you mean --state-dir?",
      "unknown flag --nonsense",
      "--run-dir needs a value",
    ]);
  });

  it("explains every option in 80 columns", () => {
    const help = optionsHelp();
    for (const key of Object.keys(options) as OptionKey[]) {
      expect(help).to.include(`--${flagName(key)}`);
    }
    expect(Math.max(...help.split("\n").map((line) => line.length))).to.be.at.most(80);
  });
});
