import { readFileSync } from "node:fs";
import { expect } from "chai";
import {
  lanes,
  makePage,
  pagePath,
  readLanes,
  rowsOf,
  verdict,
} from "../../../scripts/fields-page.ts";
import { fieldNames, fieldOfRow } from "../../support/field-names.ts";
import { formatResults } from "../../support/field-results.ts";
import type { LaneResults } from "../../support/field-results.ts";

const works = { outcome: "works" } as const;
const refused = { outcome: "refused", detail: "no" } as const;

describe("the page of fields", () => {
  it("has a row for every field of the CRI's pods and containers", () => {
    const shown = new Set(rowsOf(readLanes()).map(fieldOfRow));
    expect(fieldNames().filter((name) => !shown.has(name))).to.deep.equal([]);
    expect([...shown].filter((name) => !fieldNames().includes(name))).to.deep.equal([]);
  });

  it("has a verdict of every field in each lane that runs everything", () => {
    const results = readLanes();
    for (const lane of ["docker-20.10", "current-graph", "current-containerd"] as const) {
      const rows = Object.keys(results.get(lane)?.fields ?? {});
      const shown = new Set(rows.map(fieldOfRow));
      expect(
        fieldNames().filter((name) => !shown.has(name)),
        lane,
      ).to.deep.equal([]);
    }
  });

  it("knows no field that fails, and none that is ignored", () => {
    for (const [lane, { fields }] of readLanes()) {
      for (const [row, tests] of Object.entries(fields)) {
        const { outcome, detail } = verdict(row, lane, Object.values(tests));
        expect(outcome, `${row} in ${lane}`).to.be.oneOf(["works", "refused", "not applicable"]);
        if (outcome !== "works") expect(detail, `${row} in ${lane}`).to.match(/\w{3}/);
      }
    }
    expect(readFileSync(pagePath, "utf8")).to.not.match(/\| *(ignored|fails)\b/i);
  });

  it("is what the lanes' results make", () => {
    expect(readFileSync(pagePath, "utf8")).to.equal(makePage(readLanes()));
  });

  it("shows refusals with their messages and untried cells as such", () => {
    const fields = {
      "Mount.readonly": { "a: one": works },
      "Mount.image": { "a: two": refused, "a: three": refused },
    };
    const page = makePage(new Map<string, LaneResults>([["uml", { node: "N", fields }]]));
    expect(page).to.include("| `readonly` | – | – | – | works | – | – |");
    expect(page).to.include("| `image` | – | – | – | refused [1] | – | – |");
    expect(page).to.include("1. ``no``");
    expect(page).to.include(`- **${lanes.uml}**: N`);
  });

  it("takes one test's failure for the row's, and no case for another", () => {
    const failing = verdict("Mount.readonly", "uml", [works, { outcome: "fails" }]);
    expect(failing.outcome).to.equal("fails");
    expect(() => verdict("Mount.readonly", "uml", [works, refused])).to.throw(
      /Mount\.readonly=case/,
    );
  });

  it("is made of files that two equal runs write alike", () => {
    const one = { node: "N", fields: { b: { y: works, x: refused }, a: { z: works }, c: {} } };
    const two = { node: "N", fields: { a: { z: works }, b: { x: refused, y: works } } };
    expect(formatResults(one)).to.equal(formatResults(two)).and.not.include('"c"');
  });
});
