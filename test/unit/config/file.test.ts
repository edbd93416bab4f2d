import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readConfigFile } from "../../../src/config/file.ts";

describe("the configuration file", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "dockline-config-"));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });
  const file = (text: string): string => {
    const path = join(folder, "config.yaml");
    writeFileSync(path, text);
    return path;
  };

  it("is YAML or JSON", () => {
    const path = file("stateDir: /a # b\ncniBinDir: [/c, /d]\n");
    const values = { stateDir: "/a", cniBinDir: ["/c", "/d"] };
    expect(readConfigFile(path)).to.deep.include({ path, values });
    expect(readConfigFile(file('{"containerLogMaxFiles": 7}')).values).to.deep.equal({
      containerLogMaxFiles: 7,
    });
    expect(readConfigFile(file("# nothing\n")).values).to.deep.equal({});
  });

  it("is looked for where the package puts it, unless another or none is named", () => {
    const path = file("logLevel: warn\n");
    const none = { path: undefined, values: {} };
    expect(readConfigFile(undefined, path)).to.deep.include({ path, values: { logLevel: "warn" } });
    expect(readConfigFile("", path)).to.deep.include(none);
    expect(readConfigFile(undefined, join(folder, "missing.yaml"))).to.deep.include(none);
  });

  it("tells the line of each key, in YAML and in JSON", () => {
    const yaml = readConfigFile(
      file("# first\nstateDir: /a\n\ncniBinDir:\n  - /c\nlogLevel: warn\n"),
    );
    expect(["stateDir", "cniBinDir", "logLevel", "none"].map(yaml.lineOf)).to.deep.equal([
      ...[2, 4, 6],
      undefined,
    ]);
    expect(readConfigFile(file('{\n  "stateDir": "/a"\n}\n')).lineOf("stateDir")).to.equal(2);
  });

  it("tells the line of what is no YAML, and of a key that is there twice", () => {
    expect(() => readConfigFile(file("a: 1\nb: 2\na: 3\n"))).to.throw(/config\.yaml:3: .*unique/);
    expect(() => readConfigFile(file("a: [\n"))).to.throw(/config\.yaml:\d+: /);
  });

  it("is named by the error when it is missing or no list of keys", () => {
    expect(() => readConfigFile(join(folder, "missing.yaml"))).to.throw(
      /missing\.yaml: no such file/,
    );
    for (const text of ["- a\n", "text\n", "a: [\n", "a: 1\na: 2\n"]) {
      expect(() => readConfigFile(file(text)), text).to.throw(/config\.yaml:/);
    }
  });
});
