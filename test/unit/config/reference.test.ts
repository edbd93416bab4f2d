import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { loadConfig } from "../../../src/config/load.ts";
import { configInForce, optionsReference } from "../../../src/config/reference.ts";

describe("the configuration reference", () => {
  it("is in docs/configuration.md as the option table prints it", () => {
    const docs = readFileSync(
      join(import.meta.dirname, "..", "..", "..", "docs", "configuration.md"),
      "utf8",
    );
    expect(docs).to.include(optionsReference());
  });

  it("says where each value comes from", () => {
    const loaded = loadConfig({
      file: { logLevel: "warn" },
      environment: { DOCKLINE_POD_CIDR: "10.1.0.0/16" },
      flags: { "cni-bin-dir": "/a, /b" },
    });
    const text = configInForce(loaded);
    expect(text).to.match(/^logLevel +"warn" {2}\(file\)$/m);
    expect(text).to.match(/^podCidr +"10.1.0.0\/16" {2}\(DOCKLINE_POD_CIDR\)$/m);
    expect(text).to.match(/^cniBinDir +"\/a,\/b" {2}\(--cni-bin-dir\)$/m);
    expect(text).to.match(/^stateDir +"\/var\/lib\/dockline" {2}\(default\)$/m);
  });
});
