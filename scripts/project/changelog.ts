/** CHANGELOG.md in the form of Keep a Changelog. */

const unreleased = "## [Unreleased]";

/** Undefined where there is no such section; else its text without the heading. */
export function sectionOf(changelog: string, version: string): string | undefined {
  const lines = changelog.split("\n");
  const from = lines.findIndex((line) => line.startsWith(`## [${version}]`));
  if (from === -1) return undefined;
  const end = lines.findIndex((line, at) => at > from && line.startsWith("## "));
  return lines
    .slice(from + 1, end === -1 ? undefined : end)
    .join("\n")
    .trim();
}

/**
 * The changelog with what was unreleased under a heading of its own.
 *
 * @param date year-month-day
 * @throws Error when nothing is unreleased, or the version has a section already
 */
export function released(changelog: string, version: string, date: string): string {
  if (sectionOf(changelog, version) !== undefined) {
    throw new Error(`CHANGELOG.md has a section ${version} already`);
  }
  const notes = sectionOf(changelog, "Unreleased") ?? "";
  if (!/^- /m.test(notes)) throw new Error('CHANGELOG.md says nothing under "Unreleased"');
  return changelog.replace(unreleased, () => `${unreleased}\n\n## [${version}] - ${date}`);
}

const pattern = /^(\d+)\.(\d+)\.(\d+)(?:-([a-z]+)\.(\d+))?$/;

/**
 * The version that is meant: "major", "minor" or "patch" of the one before, or a version of its own such as 1.2.3 or 2.0.0-rc.1.
 *
 * @throws Error when it is none, or not higher than the one before
 */
export function nextVersion(before: string, asked: string): string {
  const [major = 0, minor = 0, patch = 0] = before.split(/[.-]/).map(Number);
  const next =
    asked === "major"
      ? `${major + 1}.0.0`
      : asked === "minor"
        ? `${major}.${minor + 1}.0`
        : asked === "patch"
          ? `${major}.${minor}.${before.includes("-") ? patch : patch + 1}`
          : asked;
  if (!pattern.test(next)) {
    throw new Error(`"${asked}" is no version: want major, minor, patch, 1.2.3 or 2.0.0-rc.1`);
  }
  if (compare(next, before) <= 0) throw new Error(`${next} is not higher than ${before}`);
  return next;
}

/** Below, at or above 0, as semantic versions of that pattern sort. */
function compare(one: string, other: string): number {
  const [left, right] = [one, other].map((version) => pattern.exec(version) ?? []);
  for (const at of [1, 2, 3]) {
    const difference = Number(left?.[at]) - Number(right?.[at]);
    if (difference !== 0) return difference;
  }
  const [before, after] = [left?.[4] ?? "~", right?.[4] ?? "~"];
  if (before !== after) return before < after ? -1 : 1;
  return Number(left?.[5] ?? 0) - Number(right?.[5] ?? 0);
}
