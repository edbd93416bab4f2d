import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { parse } from "yaml";
import { loadConfig } from "../../../src/config/load.ts";
import { configAsJson, configInForce, optionsReference } from "../../../src/config/reference.ts";

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
    expect(text).to.match(/^logLevel: warn +# file$/m);
    expect(text).to.match(/^podCidr: 10\.1\.0\.0\/16 +# DOCKLINE_POD_CIDR$/m);
    expect(text).to.match(/^cniBinDir: \[\/a, \/b\] +# --cni-bin-dir$/m);
    expect(text).to.match(/^stateDir: \/var\/lib\/dockline +# default$/m);
  });

  it("prints YAML and JSON that give the same configuration when they are read", () => {
    const flags = {
      "container-log-max-size": "16",
      "cni-bin-dir": "/with # sign,/b: c",
      "drain-timeout": "1m30s",
      "pinned-images": Array.from({ length: 20 }, (_, n) => `registry.example/${n}/*`).join(),
      "shim-per-container": "true",
    };
    const loaded = loadConfig({ flags });
    for (const text of [configInForce(loaded, "/x.yaml"), configAsJson(loaded)]) {
      const file = parse(text) as Record<string, unknown>;
      expect(loadConfig({ file }).config).to.deep.equal(loaded.config);
    }
  });
});
