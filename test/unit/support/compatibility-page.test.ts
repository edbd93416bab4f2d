import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { inOrder, makePage, pagePath } from "../../../scripts/compatibility-page.ts";
import { formatResults, readLanes } from "../../support/compatibility-results.ts";
import type { LaneNode, LaneResults } from "../../support/compatibility-results.ts";
import { machines } from "../../support/machines.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const node: LaneNode = {
  engine: "26.1.5",
  api: "1.45",
  store: "overlay2",
  cgroups: "v1, cgroupfs",
  runtime: "runc 1.1.15",
  containerd: "1.7.24",
  system: "Debian 13",
  kernel: "6.18",
  appArmor: false,
};
const lane = (changes: Partial<LaneNode>, files: LaneResults["files"] = {}): LaneResults => ({
  node: { ...node, ...changes },
  files,
});
const passed = (count: number, skipped = 0) => ({ passed: count, skipped, failed: [] });

describe("the page of engines", () => {
  it("is what the lanes' results make", () => {
    expect(readFileSync(pagePath, "utf8")).to.equal(makePage(readLanes()));
  });

  it("knows results of all kinds of lanes, and none that failed", () => {
    const lanes = readLanes();
    const engines = new Set([...lanes.values()].map((each) => each.node.engine.split(".")[0]));
    expect([...engines]).to.include.members(["24", "25", "26", "27", "28"]);
    for (const [name, { files }] of lanes) {
      for (const [file, { failed }] of Object.entries(files)) {
        expect(failed, `${name}: ${file}`).to.deep.equal([]);
      }
    }
  });

  it("has engines from the oldest on, whatever their names", () => {
    const results = new Map([
      ["a", lane({ engine: "28.5.2" })],
      ["b", lane({ engine: "20.10.24" })],
      ["c", lane({ engine: "9.1.0" })],
    ]);
    expect(inOrder(results).map(([name]) => name)).to.deep.equal(["c", "b", "a"]);
  });

  it("shows what was not run as such, what had nothing to act on, and what failed", () => {
    const page = makePage(
      new Map([
        ["one", lane({}, { stats: passed(7, 2), logs: passed(3) })],
        [
          "two",
          lane(
            { engine: "28.5.2", store: "containerd (overlayfs)" },
            { stats: { ...passed(6), failed: ["a title"] } },
          ),
        ],
      ]),
    );
    expect(page).to.include("| stats | 7 (2) | 6 **1 failed** |");
    expect(page).to.include("| logs | 3 | – |");
    expect(page).to.include("- **B**: a title");
    expect(page).to.include("| 26, runc 1.1 | – | **A** |");
    expect(page).to.include("| 28, runc 1.1 | **B** | – |");
  });

  it("names tests of machines that are there", () => {
    for (const { seenBy } of machines) {
      const [, file, title] = /^`([^`]+)` "([^"]+)"/.exec(seenBy) ?? [];
      const path = join(root, "test", file ?? "");
      expect(existsSync(path), seenBy).to.equal(true);
      expect(readFileSync(path, "utf8")).to.include(`it("${title ?? ""}"`);
    }
  });

  it("is made of files that two equal runs write alike", () => {
    const one = { node, files: { b: passed(1), a: passed(2) } };
    const two = { node, files: { a: passed(2), b: passed(1) } };
    expect(formatResults(one)).to.equal(formatResults(two));
  });
});
