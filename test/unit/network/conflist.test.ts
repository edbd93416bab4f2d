import { expect } from "chai";
import fc from "fast-check";
import {
  parseConfigList,
  parsePluginFile,
  parseSingleConfig,
  versionAtLeast,
} from "../../../src/network/conflist.ts";

const list = (more: object = {}): string =>
  JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge" }], ...more });

describe("CNI configuration", () => {
  it("reads a list and keeps unknown keys of plugins", () => {
    const plugin = { type: "bridge", ipam: { type: "host-local" }, extra: { deep: [1, null] } };
    const config = parseConfigList(
      list({ plugins: [plugin], disableCheck: true, disableGC: "true" }),
    );
    expect(config).to.deep.equal({
      name: "net",
      versions: ["1.0.0"],
      disableCheck: true,
      disableGc: true,
      loadOnlyInlinedPlugins: false,
      plugins: [plugin],
    });
  });

  it("offers every known version, newest first", () => {
    const versions = (more: object): string[] => parseConfigList(list(more)).versions;
    expect(versions({ cniVersions: ["0.3.1", "1.1.0", "7.0.0"] })).to.eql([
      "1.1.0",
      "1.0.0",
      "0.3.1",
    ]);
    expect(versions({ cniVersion: undefined, cniVersions: ["0.4.0"] })).to.eql(["0.4.0"]);
    expect(versions({ cniVersion: undefined })).to.eql(["0.1.0"]);
    expect(versions({ cniVersion: "" })).to.eql(["0.1.0"]);
    expect(() => versions({ cniVersion: "2.0.0" })).to.throw("2.0.0 is not known");
  });

  it("wraps a single plugin", () => {
    const text = JSON.stringify({ cniVersion: "0.3.1", name: "net", type: "bridge", mtu: 9000 });
    expect(parseSingleConfig(text).plugins).to.deep.equal([
      { cniVersion: "0.3.1", name: "net", type: "bridge", mtu: 9000 },
    ]);
    expect(() => parseSingleConfig(list())).to.throw("name the file .conflist");
    expect(() => parseConfigList(text)).to.throw("name the file .conf");
  });

  for (const [what, more, message] of [
    ["no name", { name: undefined }, "no name"],
    ["a path as name", { name: "../net" }, "the name must begin"],
    ["a name that begins with a dot", { name: ".net" }, "the name must begin"],
    ["an empty list", { plugins: [] }, "plugins is empty"],
    ["no list", { plugins: {} }, "plugins is not a list"],
    [
      "only inlined ones of none",
      { plugins: undefined, loadOnlyInlinedPlugins: true },
      "there is no",
    ],
    ["a flag that is none", { disableCheck: 1 }, "neither true nor false"],
    ["versions of another kind", { cniVersions: [1] }, "not a string"],
    ["a plugin without type", { plugins: [{}] }, "no type"],
    ["a plugin type with a slash", { plugins: [{ type: "../../tmp/x" }] }, "plain file name"],
    ["a plugin type that is a folder", { plugins: [{ type: ".." }] }, "plain file name"],
    [
      "an address manager with a slash",
      { plugins: [{ type: "a", ipam: { type: "/b" } }] },
      "plain",
    ],
    ["capabilities of another kind", { plugins: [{ type: "a", capabilities: 1 }] }, "capabilities"],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => parseConfigList(list(more))).to.throw(message);
    });
  }

  it("compares versions", () => {
    expect(versionAtLeast("1.0.0", "0.4.0")).to.equal(true);
    expect(versionAtLeast("0.3.1", "0.4.0")).to.equal(false);
    expect(versionAtLeast("10.0.0", "0.4.0")).to.equal(false);
  });

  it("throws nothing but Error for any JSON", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        for (const parse of [parseConfigList, parseSingleConfig, parsePluginFile]) {
          try {
            parse(text);
          } catch (error) {
            expect(error).to.be.instanceOf(Error).and.not.instanceOf(TypeError);
          }
        }
      }),
    );
  });
});
