/**
 * Reads what `go test -json` wrote and prints the output of failed tests, a line for each skipped one, and last
 * "PASSED FAILED" over the top-level tests: subtests are parts of theirs. Ends with 1 when the file holds no test event.
 */
import { readFileSync } from "node:fs";

interface Event {
  readonly Action: string;
  readonly Package?: string;
  readonly Test?: string;
  readonly Output?: string;
}

const file = process.argv[2];
if (file === undefined) throw new Error("usage: go-test-sums.ts REPORT");

const output = new Map<string, string[]>();
let passed = 0;
let failed = 0;
let seen = false;
for (const line of readFileSync(file, "utf8").split("\n")) {
  // A build failure is written as plain text between the events.
  if (!line.startsWith("{")) {
    if (line !== "") console.log(line);
    continue;
  }
  const event = JSON.parse(line) as Event;
  const name = event.Test;
  if (name === undefined) {
    if (event.Action === "build-output") process.stdout.write(event.Output ?? "");
    continue;
  }
  seen = true;
  const top = name.split("/")[0] ?? name;
  const key = `${event.Package ?? ""} ${top}`;
  const lines = output.get(key) ?? [];
  output.set(key, lines);
  if (event.Output !== undefined) lines.push(event.Output);
  if (name !== top) continue;
  if (event.Action === "pass") passed++;
  if (event.Action === "skip") console.log(`   skipped: ${name}: ${reason(lines)}`);
  if (event.Action === "fail") {
    failed++;
    process.stdout.write(lines.join(""));
  }
}
console.log(`${passed.toString()} ${failed.toString()}`);
process.exitCode = seen ? 0 : 1;

/** The line of t.Skip: the others are logs. */
function reason(lines: readonly string[]): string {
  return lines.map((text) => text.trim()).find((text) => /^\w+_test\.go:\d+: /u.test(text)) ?? "";
}
