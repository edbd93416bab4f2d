import { expect } from "chai";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../../src/log.ts";
import { installedPlugins, pluginConfig } from "../../../src/nri/discovery.ts";

describe("pre-installed NRI plugins", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-nri-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("are those that can be trusted, in the order of their index", () => {
    const add = (name: string, mode = 0o755, content: string | Buffer = "#!/bin/sh\n"): void => {
      writeFileSync(join(folder, name), content);
      chmodSync(join(folder, name), mode);
    };
    add("20-second");
    add("10-first");
    add("plugin");
    add("30-data", 0o644);
    add("40-anybody", 0o777);
    add("50-wasm", 0o755, Buffer.from("0061736d01000000", "hex"));
    mkdirSync(join(folder, "60-folder"));
    const found = installedPlugins(folder, silentLogger);
    expect(found.map(({ index, name }) => `${index} ${name}`)).to.deep.equal([
      "10 first",
      "20 second",
    ]);
    chmodSync(folder, 0o777);
    expect(installedPlugins(folder, silentLogger)).to.deep.equal([]);
    expect(installedPlugins(join(folder, "none"), silentLogger)).to.deep.equal([]);
  });

  it("have the configuration of their whole name, else of their name", () => {
    const plugin = { index: "10", name: "first", path: "" };
    expect(pluginConfig(folder, plugin)).to.equal("");
    writeFileSync(join(folder, "first.conf"), "a: 1\n");
    expect(pluginConfig(folder, plugin)).to.equal("a: 1\n");
    writeFileSync(join(folder, "10-first.conf"), "a: 2\n");
    expect(pluginConfig(folder, plugin)).to.equal("a: 2\n");
  });
});
