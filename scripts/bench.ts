/**
 * npm run bench: any CRI endpoint and the raw Docker API side by side.
 *
 *   node scripts/bench.ts [--short] [--endpoint NAME=unix:///path]... [--process NAME:WHAT=PID]...
 *                         [--engine unix:///path] [--no-containerd] [--effort 1] [--pods 120]
 *                         [--containers 500] [--out FOLDER]
 *   node scripts/bench.ts streaming [--engine unix:///path] [--out FOLDER]
 *
 * The engine is the one named, or DOCKLINE_TEST_DOCKER_SOCKET's, or the current line's from
 * test/lanes/docker-current. --short counts requests only and fails above a floor; it times nothing.
 * The full form wants dist/dockline.mjs (npm run build) and writes last.json, last.html and last.txt
 * below docs/benchmarks or --out. "streaming" measures exec and port-forward alone and writes
 * streaming.txt there; it wants Go.
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

if (positionals.some((word) => word !== "streaming")) {
  throw new Error(`${positionals.join(" ")}: only "streaming" is known`);
}
const onlyStreaming = positionals.length > 0;
const given = givenEndpoints();
if (!values.short && !onlyStreaming) {
  if (!existsSync(join(root, "dist", "dockline.mjs"))) throw new Error("no bundle: npm run build");
  // The counts are taken of what is timed.
  process.env["DOCKLINE_BUNDLE"] = "1";
}
const folder = mkdtempSync(join(tmpdir(), "dlb-"));
const engine = await findEngine(values.engine);
try {
  say(`engine ${engine.version}`);
  if (onlyStreaming) {
    const text = (await benchStreaming(engine.socket)).join("\n");
    console.log(text);
    mkdirSync(values.out, { recursive: true });
    writeFileSync(join(values.out, "streaming.txt"), `engine ${engine.version}\n${text}\n`);
  } else await everything();
} finally {
  rmSync(folder, { recursive: true, force: true });
  engine.stop();
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
