import { expect } from "chai";
import { nextVersion, released, sectionOf } from "../../../scripts/project/changelog.ts";

const changelog = [
  "# Changelog",
  "",
  "## [Unreleased]",
  "",
  "### Added",
  "",
  "- A `$&` thing.",
  "",
  "## [0.1.0] - 2026-01-01",
  "",
  "- First.",
  "",
].join("\n");

describe("the changelog of a release", () => {
  it("has what was unreleased under the version and its date, and room for what comes", () => {
    const now = released(changelog, "0.2.0", "2026-11-30");
    expect(now).to.contain("## [Unreleased]\n\n## [0.2.0] - 2026-11-30\n\n### Added\n\n- A `$&`");
    expect(sectionOf(now, "Unreleased")).to.equal("");
    expect(sectionOf(now, "0.2.0")).to.equal("### Added\n\n- A `$&` thing.");
    expect(sectionOf(now, "0.1.0")).to.equal("- First.");
    expect(sectionOf(now, "0.3.0")).to.equal(undefined);
  });

  it("is refused when there is nothing to say, or the version is there", () => {
    const now = released(changelog, "0.2.0", "2026-11-30");
    expect(() => released(now, "0.3.0", "2026-12-01")).to.throw('nothing under "Unreleased"');
    expect(() => released(changelog, "0.1.0", "2026-12-01")).to.throw("0.1.0 already");
  });
});

describe("the next version", () => {
  for (const [before, asked, expected] of [
    ["0.1.0", "patch", "0.1.1"],
    ["0.1.9", "minor", "0.2.0"],
    ["0.9.3", "major", "1.0.0"],
    ["1.0.0-rc.2", "patch", "1.0.0"],
    ["0.9.3", "1.0.0-rc.1", "1.0.0-rc.1"],
    ["1.0.0-rc.9", "1.0.0-rc.10", "1.0.0-rc.10"],
  ] as const) {
    it(`after ${before} is ${expected} for ${asked}`, () => {
      expect(nextVersion(before, asked)).to.equal(expected);
    });
  }

  for (const [before, asked, message] of [
    ["0.1.0", "0.1.0", "not higher"],
    ["1.0.0", "1.0.0-rc.1", "not higher"],
    ["0.10.0", "0.9.0", "not higher"],
    ["0.1.0", "v1.0.0", "is no version"],
    ["0.1.0", "1.0", "is no version"],
    ["0.1.0", "1.0.0+5", "is no version"],
  ] as const) {
    it(`after ${before} is not ${asked}`, () => {
      expect(() => nextVersion(before, asked)).to.throw(message);
    });
  }
});
