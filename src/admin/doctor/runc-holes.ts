/** One hole of runc, from its own changelog and advisories. */
export interface Hole {
  cves: readonly string[];
  /** First version without it, in each branch that got the fix. */
  fixedIn: readonly string[];
  what: string;
  /** Upstream's own word for it: too limited to be of use to an attacker. */
  low?: true;
}

export const holes: readonly Hole[] = [
  {
    cves: ["CVE-2026-41579"],
    fixedIn: ["1.3.6", "1.4.3", "1.5.0-rc.3"],
    what: "an image's /dev link gives some write access to the host (low)",
    low: true,
  },
  {
    cves: ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"],
    fixedIn: ["1.2.8", "1.3.3", "1.4.0-rc.3"],
    what: "container escape by races with mounts",
  },
  {
    cves: ["CVE-2024-45310"],
    fixedIn: ["1.1.14", "1.2.0-rc.3"],
    what: "empty files and folders can be made on the host (low)",
    low: true,
  },
  {
    cves: ["CVE-2024-21626"],
    fixedIn: ["1.1.12"],
    what: "container escape by a leaked file descriptor",
  },
  {
    cves: ["CVE-2023-27561", "CVE-2023-28642"],
    fixedIn: ["1.1.5"],
    what: "AppArmor and SELinux can be passed by",
  },
  {
    cves: ["CVE-2021-30465"],
    fixedIn: ["1.0.0-rc95"],
    what: "container escape by a race with mounts",
  },
];

type Version = readonly [number, number, number, number];

/** Undefined for what is no version of runc. A release is later than its candidates. */
export function parseVersion(text: string): Version | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:[-~]rc\.?(\d+))?/.exec(text.trim());
  if (match === null) return undefined;
  const [, major, minor, patch, candidate] = match;
  return [
    Number(major),
    Number(minor),
    Number(patch),
    candidate === undefined ? Infinity : Number(candidate),
  ];
}

/** The vulnerabilities of a version, by its number alone: a distribution may have fixed some. */
export function holesOf(version: string): Hole[] {
  const own = parseVersion(version);
  if (own === undefined) return [];
  return holes.filter(({ fixedIn }) => {
    const fixes = fixedIn.flatMap((text) => [parseVersion(text) ?? own]);
    const branch = fixes.find(([major, minor]) => major === own[0] && minor === own[1]);
    if (branch !== undefined) return compare(own, branch) < 0;
    // A branch that never got the fix is vulnerable until the newest that did.
    const newest = fixes.reduce((a, b) => (compare(a, b) < 0 ? b : a));
    return compare(own, newest) < 0;
  });
}

function compare(a: Version, b: Version): number {
  for (const [at, number] of a.entries()) {
    const other = b[at] ?? 0;
    if (number !== other) return number < other ? -1 : 1;
  }
  return 0;
}
