import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { debianVersion, rpmVersion } from "../../../scripts/package/control.ts";
import { buildVersion, checkoutVersion } from "../../../scripts/project/build-version.ts";
import { version } from "../../../src/version.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const at = (manifest: string, distance: number, tagged = true): string =>
  buildVersion({ manifest, distance, commit: "1a2b3c4d", tagged });

/** Each build of one line of commits, over two releases and a candidate. */
const history = [
  at("0.1.0", 9, false),
  at("0.1.0", 10, false),
  at("0.2.0", 0),
  at("0.2.0", 1),
  at("0.2.0", 9),
  at("0.2.0", 10),
  at("0.2.0", 123),
  at("0.2.1", 0),
  at("1.0.0-rc.1", 0),
  at("1.0.0-rc.1", 2),
  at("1.0.0-rc.2", 0),
  at("1.0.0", 0),
  at("1.0.0", 1),
];

describe("the version of a build", () => {
  it("is the release's own at its tag, and counts the commits behind it", () => {
    expect(at("0.2.0", 0)).to.equal("0.2.0");
    expect(at("0.2.0", 5)).to.equal("0.2.0+5.g1a2b3c4d");
    expect(at("0.1.0", 5, false)).to.equal("0.1.0+5.g1a2b3c4d");
  });

  it("rises with each commit, for apt and rpm", function () {
    for (const [at, newer] of history.entries()) {
      const older = history[at - 1];
      if (older === undefined) continue;
      const { status, error } = spawnSync("dpkg", [
        ...["--compare-versions", debianVersion(older), "lt", debianVersion(newer)],
      ]);
      if (error !== undefined) this.skip();
      expect(status, `dpkg: ${older} < ${newer}`).to.equal(0);
      expect(rpmCompare(rpmVersion(older), rpmVersion(newer)), `rpm: ${older} < ${newer}`).to.equal(
        -1,
      );
      // Characters that rpm takes in a version.
      expect(rpmVersion(newer)).to.match(/^[\w.+~]+$/);
    }
  });

  it("has its number in package.json alone", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      version: string;
    };
    expect(version).to.equal(`${manifest.version}-dev`);
    expect(checkoutVersion().startsWith(manifest.version)).to.equal(true);
    const lock = readFileSync(join(root, "package-lock.json"), "utf8");
    expect(lock).to.contain(`"version": "${manifest.version}",\n  "lockfileVersion"`);
  });
});

/** rpm's comparison of versions: segments of digits or letters, "~" before the end, digits above letters. */
function rpmCompare(one: string, other: string): number {
  const [left, right] = [one, other].map((text) => text.match(/~|\d+|[A-Za-z]+/g) ?? []);
  for (let at = 0; ; at += 1) {
    const [a, b] = [left?.[at], right?.[at]];
    if (a === "~" || b === "~") {
      if (a === b) continue;
      return a === "~" ? -1 : 1;
    }
    if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1;
    if (/^\d/.test(a) !== /^\d/.test(b)) return /^\d/.test(a) ? 1 : -1;
    const [x, y] = /^\d/.test(a) ? [Number(a), Number(b)] : [a, b];
    if (x !== y) return x < y ? -1 : 1;
  }
}
