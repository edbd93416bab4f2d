import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";

/** What the tests of one file came to. */
export interface FileResults {
  readonly passed: number;
  /** What there is nothing for on that node. */
  readonly skipped: number;
  /** Full titles. */
  readonly failed: readonly string[];
}

/** What the lane was, in the engine's own words. */
export interface LaneNode {
  readonly engine: string;
  readonly api: string;
  /** A graph driver's name, or `containerd (SNAPSHOTTER)`. */
  readonly store: string;
  /** `v1, cgroupfs` */
  readonly cgroups: string;
  readonly runtime: string;
  readonly containerd: string;
  readonly system: string;
  readonly kernel: string;
  readonly appArmor: boolean;
}

export interface LaneResults {
  readonly node: LaneNode;
  /** By the test file's name. */
  readonly files: Readonly<Record<string, FileResults>>;
}

export const resultsFolder = join(import.meta.dirname, "..", "..", "docs", "compatibility");

/** Every lane that has run, by its name. */
export function readLanes(folder = resultsFolder): Map<string, LaneResults> {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return new Map(
    names
      .filter((name) => name.endsWith(".json"))
      .map((name) => [
        basename(name, ".json"),
        JSON.parse(readFileSync(join(folder, name), "utf8")) as LaneResults,
      ]),
  );
}

/** Sorted, so that two runs that saw the same make the same file. */
export function formatResults({ node, files }: LaneResults): string {
  const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ node, files: sorted }, undefined, 2)}\n`;
}
