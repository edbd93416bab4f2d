import { expect } from "chai";
import { isDistributions } from "../../../../src/admin/doctor/runc.ts";
import { holesOf, parseVersion } from "../../../../src/admin/doctor/runc-holes.ts";

const leakedFd = "CVE-2024-21626";
const masked = "CVE-2025-31133";
const devLink = "CVE-2026-41579";

const has = (version: string, cve: string): boolean =>
  holesOf(version).some(({ cves }) => cves.includes(cve));

describe("runc's known vulnerabilities", () => {
  it("are open below the version that fixed them, in each branch", () => {
    const table: [string, string, boolean][] = [
      ["1.1.11", leakedFd, true],
      ["1.1.12", leakedFd, false],
      ["1.2.0-rc.1", leakedFd, false],
      ["1.0.0-rc93", leakedFd, true],
      ["1.1.15", masked, true],
      ["1.2.7", masked, true],
      ["1.2.8", masked, false],
      ["1.3.2", masked, true],
      ["1.3.3", masked, false],
      ["1.4.0-rc.2", masked, true],
      ["1.4.0-rc.3", masked, false],
      ["1.4.0", masked, false],
      ["1.2.9", devLink, true],
      ["1.3.6", devLink, false],
      ["1.4.2", devLink, true],
      ["1.5.0-rc.2", devLink, true],
      ["1.5.0", devLink, false],
      ["2.0.0", devLink, false],
    ];
    for (const [version, cve, open] of table) {
      expect(has(version, cve), `${version} ${cve}`).to.equal(open);
    }
  });

  it("are not guessed for what is no version", () => {
    for (const text of ["", "unknown", "crun 1.9"]) expect(parseVersion(text)).to.equal(undefined);
    expect(holesOf("unknown")).to.deep.equal([]);
  });

  it("may be fixed in a distribution's own version", () => {
    for (const own of ["1.1.5+ds1", "1.1.12-0ubuntu2~22.04.1", "1.0.0~rc93+ds1"]) {
      expect(isDistributions(own), own).to.equal(true);
    }
    for (const upstream of ["1.1.5", "1.4.0-rc.2", "1.0.0-rc93"]) {
      expect(isDistributions(upstream), upstream).to.equal(false);
    }
  });
});
