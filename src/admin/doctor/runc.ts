import type { NodeFacts } from "./facts.ts";
import { error, ok, skipped, warning, withoutEngine } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { holesOf, parseVersion } from "./runc-holes.ts";

/** A distribution's own number: Debian's "1.1.5+ds1", Ubuntu's "1.1.12-0ubuntu2". */
export const isDistributions = (version: string): boolean =>
  /\+ds|ubuntu|\+deb|-\d/.test(version.replace(/[-~]rc\.?\d+/, ""));

export function checkRunc({ engine, runc }: NodeFacts): Finding {
  const check = "runc";
  if (engine === undefined) return withoutEngine(check);
  if (runc === undefined) return skipped(check, "Docker does not say which runc it uses");
  const { version, changelog } = runc;
  if (parseVersion(version) === undefined) {
    return skipped(check, `${version}: no version of runc; its holes are not known here`);
  }
  const open = holesOf(version).filter(({ cves }) => !cves.every((cve) => changelog.includes(cve)));
  if (open.length === 0) {
    return ok(
      check,
      holesOf(version).length === 0
        ? `${version}, no hole known here`
        : `${version}, its vulnerabilities are fixed by the distribution`,
    );
  }
  const names = open.flatMap(({ cves }) => cves).filter((cve) => !changelog.includes(cve));
  const why = `${[...new Set(open.map(({ what }) => what))].join("; ")}.`;
  if (isDistributions(version)) {
    const known =
      changelog === ""
        ? "the package has no changelog here: look at the distribution's security tracker"
        : "the package's changelog does not name them; its security tracker may";
    return warning(
      check,
      `runc ${version} lacks the upstream fixes for ${names.join(", ")}`,
      `${why} A distribution may have fixed some without a new version: ${known}`,
      "apt-get update && apt-get install --only-upgrade runc",
    );
  }
  const tell = open.every(({ low }) => low === true) ? warning : error;
  return tell(
    check,
    `runc ${version} has vulnerabilities: ${names.join(", ")}`,
    `${why} Only a distribution that fixes holes without a new version is safe with it`,
    "apt-get update && apt-get install --only-upgrade containerd.io runc",
  );
}
