import { spawnSync } from "node:child_process";
import { ownVersion, root } from "../bundle.ts";

/** Where a checkout stands in its history. */
export interface Checkout {
  /** Of package.json: the last release, or the first version while there is none. */
  manifest: string;
  /** Commits since the tag of that version, or since the first one where there is no such tag. */
  distance: number;
  /** Abbreviated. */
  commit: string;
  tagged: boolean;
}

/**
 * The version of what is built from a checkout. The tagged commit of a release has the release's own; each later one a
 * higher one for dpkg and rpm: both sort what follows a "+" behind the version without it, and its number as a number.
 */
export function buildVersion({ manifest, distance, commit, tagged }: Checkout): string {
  return tagged && distance === 0 ? manifest : `${manifest}+${distance}.g${commit}`;
}

/**
 * The version of this checkout, or the one that DOCKLINE_PACKAGE_VERSION names (a release builds before it tags).
 *
 * @throws Error where the history is cut off: builds of later commits could get a lower version
 */
export function checkoutVersion(): string {
  const manifest = ownVersion();
  const named = process.env["DOCKLINE_PACKAGE_VERSION"];
  if (named !== undefined && named !== "") return named;
  const commit = git("rev-parse", "--short=8", "HEAD");
  // An archive of the sources has no history; who builds from one knows which.
  if (commit === undefined) return manifest;
  if (git("rev-parse", "--is-shallow-repository") === "true") {
    throw new Error(
      "the version counts commits, and this checkout has only some: git fetch --unshallow --tags, or give --version",
    );
  }
  const tag = `v${manifest}`;
  const tagged = git("merge-base", "--is-ancestor", `refs/tags/${tag}`, "HEAD") !== undefined;
  const range = tagged ? `refs/tags/${tag}..HEAD` : "HEAD";
  return buildVersion({
    ...{ manifest, commit, tagged },
    distance: Number(git("rev-list", "--count", range)),
  });
}

/** Undefined when git, or what is asked for, is not there. */
function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

if (import.meta.filename === process.argv[1]) process.stdout.write(`${checkoutVersion()}\n`);
