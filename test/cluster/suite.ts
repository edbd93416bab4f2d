/**
 * Runs specs of the Kubernetes end-to-end suite in a node that test/lanes/cluster has started, prints a line for each and last
 * "N passed, N failed". Needs ginkgo and e2e.test on PATH and KUBECONFIG.
 *
 *     suite.ts --focus RE [--skip RE] [--processes N] [--folder FOLDER]
 *
 * FOLDER (default: the cluster's own) gets suite.log, all that the specs wrote, and suite.json, ginkgo's report.
 */
import { spawnSync } from "node:child_process";
import { existsSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

/** The parts of a spec in ginkgo's report that are used here; RunTime is in nanoseconds. */
interface Spec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  readonly RunTime: number;
  readonly Failure?: {
    readonly Message: string;
    readonly Location: { readonly FileName: string; readonly LineNumber: number };
  };
}

const { values } = parseArgs({
  options: {
    focus: { type: "string" },
    skip: { type: "string" },
    processes: { type: "string", default: "2" },
    folder: { type: "string", default: process.env["DOCKLINE_CLUSTER_WORK"] ?? "." },
  },
});
const focus = values.focus;
if (focus === undefined)
  throw new Error("usage: suite.ts --focus RE [--skip RE] [--processes N] [--folder FOLDER]");

const program = (process.env["PATH"] ?? "")
  .split(":")
  .map((folder) => join(folder, "e2e.test"))
  .find(existsSync);
if (program === undefined) throw new Error("e2e.test is not on PATH");

const report = join(values.folder, "suite.json");
rmSync(report, { force: true });
const log = openSync(join(values.folder, "suite.log"), "a");
const run = spawnSync(
  "ginkgo",
  [
    `--procs=${values.processes}`,
    "--no-color",
    "--timeout=3h",
    `--focus=${focus}`,
    ...(values.skip === undefined ? [] : [`--skip=${values.skip}`]),
    "--json-report=suite.json",
    `--output-dir=${values.folder}`,
    program,
    "--",
    "--provider=local",
    `--kubeconfig=${process.env["KUBECONFIG"] ?? ""}`,
    "--disable-log-dump",
  ],
  { stdio: ["ignore", log, log], cwd: values.folder },
);
if (run.error !== undefined) throw run.error;

if (!existsSync(report)) {
  console.log(
    readFileSync(join(values.folder, "suite.log"), "utf8").split("\n").slice(-25).join("\n"),
  );
  throw new Error(`ginkgo left no report (exit code ${String(run.status)})`);
}
const suites = JSON.parse(readFileSync(report, "utf8")) as readonly {
  readonly SpecReports: readonly Spec[];
}[];
const ran = suites
  .flatMap((suite) => suite.SpecReports)
  .filter((spec) => !["skipped", "pending", ""].includes(spec.State));
let passed = 0;
let failed = 0;
for (const spec of ran) {
  const good = spec.State === "passed";
  // What comes before and after all specs is worth a line only when it fails.
  if (good && spec.LeafNodeType !== "It") continue;
  const name = [
    ...(spec.ContainerHierarchyTexts ?? []),
    spec.LeafNodeText || spec.LeafNodeType,
  ].join(" ");
  const seconds = (spec.RunTime / 1e9).toFixed(1);
  if (good) passed += 1;
  else failed += 1;
  console.log(`${good ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  if (!good) console.log(reason(spec));
}
if (ran.length === 0) console.log(`no spec fits --focus ${focus}`);
console.log(`${String(passed)} passed, ${String(failed)} failed`);
process.exitCode = failed === 0 && passed > 0 && run.status === 0 ? 0 : 1;

/** The state, where it failed and the beginning of what it said. */
function reason(spec: Spec): string {
  const failure = spec.Failure;
  if (failure === undefined) return `     ${spec.State}`;
  const file = failure.Location.FileName.replace(/^.*k8s.io\/kubernetes[^/]*\//, "");
  const said = failure.Message.split("\n")
    .slice(0, 25)
    .map((line) => `     ${line.slice(0, 300)}`);
  return [`     ${spec.State} at ${file}:${String(failure.Location.LineNumber)}`, ...said].join(
    "\n",
  );
}
