/**
 * npm run bench: any CRI endpoint and the raw Docker API side by side.
 *
 *   node scripts/bench.ts [--short] [--endpoint NAME=unix:///path]... [--process NAME:WHAT=PID]...
 *                         [--engine unix:///path] [--no-containerd] [--effort 1] [--pods 120]
 *                         [--containers 500] [--out FOLDER]
 *   node scripts/bench.ts streaming|drain [--engine unix:///path] [--out FOLDER]
 *   node scripts/bench.ts index [--out FOLDER]
 *
 * The engine is the one named, or DOCKLINE_TEST_DOCKER_SOCKET's, or the current line's from
 * test/lanes/docker-current. --short counts requests only and fails above a floor; it times nothing.
 * The full form wants dist/dockline.mjs (npm run build) and writes last.json, last.html and last.txt
 * below docs/benchmarks or --out. "streaming" measures exec and port-forward alone and writes
 * streaming.txt there; it wants Go. "drain" stops 330 containers at once (DOCKLINE_BENCH_STOPS) beside
 * as many raw stop requests, measures other calls meanwhile and writes drain.txt; it wants the bundle.
 * "index" measures the index with 5000 containers and 10 000 images on a fake engine and writes index.txt.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { GivenEndpoint } from "../test/bench/contenders.ts";
import { findEngine } from "../test/bench/engine.ts";
import { page, loadText } from "../test/bench/page.ts";
import { countLines, table } from "../test/bench/report.ts";
import { runBenchmark } from "../test/bench/run.ts";
import { countRequests } from "../test/bench/short.ts";
import { benchDrain } from "../test/bench/drain.ts";
import { benchIndex } from "../test/bench/index-cost.ts";
import { benchStreaming } from "../test/bench/streaming.ts";

const root = join(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    endpoint: { type: "string", multiple: true, default: [] },
    process: { type: "string", multiple: true, default: [] },
    engine: { type: "string" },
    "no-containerd": { type: "boolean", default: false },
    effort: { type: "string", default: "1" },
    pods: { type: "string", default: "120" },
    containers: { type: "string", default: "500" },
    out: { type: "string", default: join(root, "docs", "benchmarks") },
  },
});

const say = (text: string): void =>
  void process.stderr.write(`bench: ${(performance.now() / 1000).toFixed(0)} s: ${text}\n`);

function givenEndpoints(): GivenEndpoint[] {
  return values.endpoint.map((text) => {
    const [name, endpoint] = split(text, "=");
    const own = values.process.filter((each) => each.startsWith(`${name}:`));
    const pairs = own.map((each) => {
      const [what, pid] = split(each.slice(name.length + 1), "=");
      return [what, Number(pid)] as const;
    });
    return { name, endpoint, processes: new Map(pairs) };
  });
}

function split(text: string, sign: string): [string, string] {
  const at = text.indexOf(sign);
  if (at < 1) throw new Error(`${text}: want NAME${sign}VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

const alone = { streaming: benchStreaming, drain: benchDrain };
const [only] = positionals as (keyof typeof alone | "index" | undefined)[];
if (positionals.length > 1 || (only !== undefined && only !== "index" && !(only in alone))) {
  throw new Error(`${positionals.join(" ")}: only "streaming", "drain" or "index" is known`);
}
if (only === "index") {
  write("index", await benchIndex());
  process.exit();
}
const given = givenEndpoints();
if (!values.short && only !== "streaming") {
  if (!existsSync(join(root, "dist", "dockline.mjs"))) throw new Error("no bundle: npm run build");
  // The counts are taken of what is timed.
  process.env["DOCKLINE_BUNDLE"] = "1";
}
const folder = mkdtempSync(join(tmpdir(), "dlb-"));
const engine = await findEngine(values.engine);
try {
  say(`engine ${engine.version}`);
  if (only !== undefined) {
    write(only, [`engine ${engine.version}`, ...(await alone[only](engine.socket))]);
  } else await everything();
} finally {
  rmSync(folder, { recursive: true, force: true });
  engine.stop();
}

function write(name: string, lines: readonly string[]): void {
  console.log(lines.join("\n"));
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, `${name}.txt`), `${lines.join("\n")}\n`);
}

async function everything(): Promise<void> {
  const counts = await countRequests(folder, engine, values.short ? 20 : 30);
  console.log(countLines(counts.counts, counts.idle).join("\n"));
  if (!counts.idle.ok || counts.counts.some(({ ok }) => !ok)) process.exitCode = 1;
  if (!values.short) {
    const report = await runBenchmark({
      folder,
      engine,
      counts,
      effort: Number(values.effort),
      sizes: { pods: Number(values.pods), containers: Number(values.containers) },
      withPeer: !values["no-containerd"],
      given,
      say,
    });
    const text = table(report);
    console.log(`\n${text}\n${loadText(report)}`);
    mkdirSync(values.out, { recursive: true });
    writeFileSync(join(values.out, "last.json"), `${JSON.stringify(report, null, 1)}\n`);
    writeFileSync(join(values.out, "last.html"), page(report));
    writeFileSync(join(values.out, "last.txt"), `${text}\n`);
  }
}
