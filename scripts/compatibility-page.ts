import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readLanes } from "../test/support/compatibility-results.ts";
import type { FileResults, LaneResults } from "../test/support/compatibility-results.ts";
import { machines } from "../test/support/machines.ts";
import { table } from "./fields-page.ts";

// docs/compatibility.md from docs/compatibility/<lane>.json: `node scripts/compatibility-page.ts [--check]`.

export const pagePath = join(import.meta.dirname, "..", "docs", "compatibility.md");
const notRun = "–";

type Lane = readonly [name: string, results: LaneResults];

/** From the oldest engine to the newest; an engine's lanes by store, cgroups and runtime. */
export function inOrder(results: ReadonlyMap<string, LaneResults>): Lane[] {
  const key = ({ node }: LaneResults): string => `${node.store} ${node.cgroups} ${node.runtime}`;
  return [...results].sort(
    ([, a], [, b]) =>
      compareVersions(a.node.engine, b.node.engine) || key(a).localeCompare(key(b), "en"),
  );
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

const storeKind = (store: string): string =>
  store.startsWith("containerd") ? "containerd" : store;

/** The release line that operators speak of: 20.10, then the major number alone. */
const lineOf = (engine: string): string => engine.replace(/^(20\.10|\d+).*/, "$1");

export function makePage(results: ReadonlyMap<string, LaneResults>): string {
  const lanes = inOrder(results);
  const sums = lanes.map(([, { files }]) => sumOf(Object.values(files)));
  return [
    "<!-- Made by `npm run docs:compatibility` from docs/compatibility/*.json. Do not edit. -->",
    "# Engines, stores, cgroups and runtimes",
    [
      "What the integration suite was run on, and with what outcome. Each row is an engine that ran; its name in the first column heads",
      `its column below. ${notRun} means that nothing was run there: it may work, and nobody has seen it.`,
    ].join("\n"),
    table([
      [
        "",
        "Docker",
        "API",
        "Image store",
        "Cgroups",
        "Runtime",
        "containerd",
        "Root",
        "Kernel",
        "Tests",
      ],
      ...lanes.map(([, { node }], index) => [
        letter(index),
        node.engine,
        node.api,
        node.store,
        `${node.cgroups}${node.appArmor ? ", AppArmor" : ""}`,
        node.runtime,
        node.containerd,
        node.system,
        node.kernel,
        sumText(sums[index] ?? nothing),
      ]),
    ]),
    [
      "Docker 26 is Debian 13's own package. The others are built from Docker's Go modules, unchanged, with the",
      "versions of their dependencies that each release names. SELinux was run on none of them. What runs on Docker 20.10 and on 29",
      "with cgroup v1 in each CI run is in [fields.md](fields.md), field by field.",
    ].join("\n"),
    "## Combinations",
    grid(lanes),
    "## What was run on each",
    [
      "A row is a file of `test/integration`, `test/cgroup2` or `test/systemd`; the number is how many of its tests passed. In",
      "parentheses is how many had nothing to act on there, such as user namespaces without a runtime that maps ids.",
    ].join("\n"),
    table([
      ["Tests", ...lanes.map((_, index) => letter(index))],
      ...filesOf(lanes).map((file) => [
        file,
        ...lanes.map(([, { files }]) => {
          const found = files[file];
          return found === undefined ? notRun : sumText(found);
        }),
      ]),
    ]),
    ...failures(lanes),
    "## Machines",
    "What the machine around the engine may be. Each was tried on an engine of its own; the test is the one that shows it.",
    table([
      ["Machine", "What Dockline does", "Seen by"],
      ...machines.map(({ machine, does, seenBy }) => [machine, does, seenBy]),
    ]),
  ]
    .join("\n\n")
    .concat("\n");
}

/** Each engine line against store, cgroups and runtime, as far as any lane had them. */
function grid(lanes: readonly Lane[]): string {
  const kinds = new Map<string, (lane: Lane) => string>([
    ["engine", ([, { node }]) => lineOf(node.engine)],
    ["store and cgroups", ([, { node }]) => `${storeKind(node.store)}, cgroup ${node.cgroups}`],
    ["runtime", ([, { node }]) => node.runtime.replace(/^(\S+ \d+\.\d+).*/, "$1")],
  ]);
  const [engine, place, runtime] = [...kinds.values()];
  if (engine === undefined || place === undefined || runtime === undefined) return "";
  const distinct = (of: (lane: Lane) => string): string[] =>
    [...new Set(lanes.map(of))].sort(compareVersions);
  const places = distinct(place);
  const lines = [...new Set(lanes.map(engine))].flatMap((line) =>
    distinct(runtime).map((name) => [
      `${line}, ${name}`,
      ...places.map((where) => {
        const here = lanes.flatMap((lane, index) =>
          engine(lane) === line && runtime(lane) === name && place(lane) === where
            ? [letter(index)]
            : [],
        );
        return here.length === 0 ? notRun : here.join(", ");
      }),
    ]),
  );
  return table([["Docker, runtime", ...places], ...lines]);
}

const nothing: FileResults = { passed: 0, skipped: 0, failed: [] };

function sumOf(files: readonly FileResults[]): FileResults {
  return files.reduce(
    (sum, file) => ({
      passed: sum.passed + file.passed,
      skipped: sum.skipped + file.skipped,
      failed: [...sum.failed, ...file.failed],
    }),
    nothing,
  );
}

function sumText({ passed, skipped, failed }: FileResults): string {
  const parts = [
    String(passed),
    ...(skipped > 0 ? [`(${skipped})`] : []),
    ...(failed.length > 0 ? [`**${failed.length} failed**`] : []),
  ];
  return parts.join(" ");
}

function filesOf(lanes: readonly Lane[]): string[] {
  return [...new Set(lanes.flatMap(([, { files }]) => Object.keys(files)))].sort();
}

function failures(lanes: readonly Lane[]): string[] {
  const lines = lanes.flatMap(([, { files }], index) =>
    Object.values(files).flatMap(({ failed }) =>
      failed.map((title) => `- ${letter(index)}: ${title}`),
    ),
  );
  return lines.length === 0 ? [] : ["## What failed", lines.join("\n")];
}

const letter = (index: number): string => `**${String.fromCharCode(65 + index)}**`;

if (import.meta.main) {
  const page = makePage(readLanes());
  if (process.argv.includes("--check")) {
    if (readFileSync(pagePath, "utf8") !== page) {
      console.error(
        "docs/compatibility.md is not what docs/compatibility/*.json make: npm run docs:compatibility",
      );
      process.exitCode = 1;
    }
  } else {
    writeFileSync(pagePath, page);
    console.log(`docs/compatibility.md: ${readLanes().size} lanes`);
  }
}
