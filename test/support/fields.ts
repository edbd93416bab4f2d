import { mkdirSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join, relative } from "node:path";
import type { Context, Runnable, Suite } from "mocha";
import { fieldNames, fieldOfRow } from "./field-names.ts";
import { formatResults, readResults, resultsFolder } from "./field-results.ts";
import type { FieldResult } from "./field-results.ts";
import { engineGet } from "./engine-get.ts";

// Tests say which CRI fields they show; docs/fields.md is made from it (npm run docs:fields). With
// DOCKLINE_FIELDS_LANE=<lane> a run adds what its tests saw to docs/fields/<lane>.json.

const lane = process.env["DOCKLINE_FIELDS_LANE"];
const known = fieldNames();
/** What the running test has said so far. */
const said = new Map<string, FieldResult>();
/** `file: test` → row → result, of all tests that ended. */
const ended = new Map<string, Map<string, FieldResult>>();

/** This test shows that these fields do what they say: rows `Message.field` or `Message.field=case`. */
export function works(...rows: string[]): void {
  for (const row of rows) say(row, { outcome: "works" });
}

/** The node refused the field with this message, which is what it should do here. */
export function refused(row: string, message: string): void {
  // Ids and paths of one run say nothing on the page.
  const detail = message
    .replace(/[0-9a-f]{64}/g, "…")
    .replace(/\/(?:tmp|var\/tmp)\/[^\s"']*\//g, "…/");
  say(row, { outcome: "refused", detail });
}

/** Nothing of the kind exists on this node: `why`. Skips the test unless `test` is undefined. */
export function notHere(test: Context | undefined, rows: string[], why: string): void {
  for (const row of rows) say(row, { outcome: "not applicable", detail: why });
  test?.skip();
}

function say(row: string, result: FieldResult): void {
  if (!known.includes(fieldOfRow(row))) throw new Error(`${row} is no field of the CRI`);
  said.set(row, result);
}

if (lane !== undefined) {
  beforeEach(() => {
    said.clear();
  });
  afterEach(function () {
    const test = this.currentTest;
    if (test === undefined) return;
    const failed = test.state !== "passed" && !test.isPending();
    const rows = [...said].map(
      ([row, result]) => [row, failed ? { outcome: "fails" as const } : result] as const,
    );
    ended.set(nameOf(test), new Map(rows));
  });
  after(async function () {
    let root: Suite = this.test?.parent as Suite;
    while (root.parent !== undefined) root = root.parent;
    await save(lane, root);
  });
}

function nameOf(test: Runnable): string {
  const path = relative(join(import.meta.dirname, "..", ".."), test.file ?? "");
  return `${path.replace(/^test\/(integration\/)?|\.test\.ts$/g, "")}: ${test.fullTitle()}`;
}

/** Tests that were not run this time keep their results; tests that are no more lose them. */
async function save(lane: string, root: Suite): Promise<void> {
  const present = new Set<string>();
  root.eachTest((test) => void present.add(nameOf(test)));
  const files = new Set([...present].map(fileOf));
  const fields: Record<string, Record<string, FieldResult>> = {};
  const keep = (row: string, test: string, result: FieldResult): void => {
    (fields[row] ??= {})[test] = result;
  };
  mkdirSync(resultsFolder, { recursive: true });
  for (const [row, tests] of Object.entries(readResults(lane)?.fields ?? {})) {
    if (!known.includes(fieldOfRow(row))) continue;
    for (const [test, result] of Object.entries(tests)) {
      const stale = ended.has(test) || (files.has(fileOf(test)) && !present.has(test));
      if (!stale) keep(row, test, result);
    }
  }
  for (const [test, rows] of ended) for (const [row, result] of rows) keep(row, test, result);
  const text = formatResults({ node: await describeNode(), fields });
  writeFileSync(join(resultsFolder, `${lane}.json`), text);
}

const fileOf = (test: string): string => test.slice(0, test.indexOf(": "));

async function describeNode(): Promise<string> {
  const info = (await engineGet("/info")) as Record<string, string>;
  const { ApiVersion } = (await engineGet("/version")) as { ApiVersion: string };
  const security = (info["SecurityOptions"] as unknown as string[] | undefined) ?? [];
  const parts = [
    `Docker ${info["ServerVersion"]?.replace(/\+.*/, "")} (API ${ApiVersion})`,
    `store ${info["Driver"]}`,
    `cgroup v${info["CgroupVersion"] ?? "1"} (${info["CgroupDriver"]})`,
    security.some((name) => name.includes("apparmor")) ? "AppArmor" : "no AppArmor",
    `kernel ${release().replace(/^(\d+\.\d+).*/, "$1")}`,
  ];
  return parts.join(", ");
}
