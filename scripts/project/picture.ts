import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "../bundle.ts";
import { terminalPicture } from "./terminal-picture.ts";

/**
 * `npm run docs:picture`: runs the README's first command and writes what it printed to
 * docs/pictures/quickstart.svg. With a file as argument, that text is the recording.
 */

const target = join(root, "docs", "pictures", "quickstart.svg");
const shownCalls = 2;

/**
 * What of a quickstart's output is in the picture: everything up to the page that the pod serves, with the
 * first calls of the trace; a line says how many follow.
 */
export function excerpt(output: string): string[] {
  const lines = output.replaceAll("\r", "").split("\n");
  const end = lines.findIndex((line) => line.startsWith("Served "));
  if (end === -1) throw new Error("the recording ends before the pod has answered");
  const calls = lines.flatMap((line, at) => (/^\d\d:\d\d:\d\d\.\d{3} /.test(line) ? [at] : []));
  const summary = lines.findIndex((line) => / reads without any Docker request$/.test(line));
  const cut = calls[shownCalls];
  const left = calls.length - shownCalls;
  const kept =
    cut === undefined
      ? lines.slice(0, end)
      : [
          ...lines.slice(0, cut),
          `⋮ ${left} more call${left === 1 ? "" : "s"}`,
          ...lines.slice(summary, end),
        ];
  return ["$ npm run quickstart -- --once", ...kept.slice(0, kept.findLastIndex(Boolean) + 1)];
}

if (import.meta.filename === process.argv[1]) {
  const { positionals } = parseArgs({ allowPositionals: true });
  const [file] = positionals;
  const output =
    file === undefined
      ? execFileSync("bash", ["scripts/quickstart.sh", "--once"], { cwd: root, encoding: "utf8" })
      : readFileSync(file, "utf8");
  const title = "npm run quickstart: a pod on Docker Engine, and what each CRI call became";
  writeFileSync(target, terminalPicture(excerpt(output), title));
  process.stdout.write(`${target}\n`);
}
