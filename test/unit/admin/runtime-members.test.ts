import { expect } from "chai";
import {
  editingRuntimesIn,
  withoutEmptyRuntimes,
  withRuntimes,
  withoutRuntimes,
} from "../../../src/admin/runtime-members.ts";

const program = "/usr/local/lib/dockline/dockline-oci";
const runtimes = (text: string): unknown => (JSON.parse(text) as { runtimes?: unknown }).runtimes;

describe("admin/runtime-members", () => {
  it("registers dockline for runc, and another for each runtime that it is known to work with", () => {
    const text = JSON.stringify({
      runtimes: { crun: { path: "/usr/bin/crun" }, runsc: { path: "/usr/bin/runsc" } },
    });
    expect(runtimes(withRuntimes(text, program, ["--edits=/r/oci"]))).to.deep.equal({
      crun: { path: "/usr/bin/crun" },
      runsc: { path: "/usr/bin/runsc" },
      dockline: { path: program, runtimeArgs: ["--edits=/r/oci"] },
      "dockline-crun": {
        path: program,
        runtimeArgs: ["--real-runtime=/usr/bin/crun", "--edits=/r/oci"],
      },
    });
  });

  it("changes nothing the second time, and everything back", () => {
    for (const text of [
      "{}\n",
      '{\n  "debug": true\n}\n',
      '{ "runtimes": {"a": {"path": "/a"}} }',
    ]) {
      const once = withRuntimes(text, program, []);
      expect(withRuntimes(once, program, [])).to.equal(once);
      expect(editingRuntimesIn(once)).to.deep.equal(["dockline"]);
      expect(withoutEmptyRuntimes(withoutRuntimes(once))).to.equal(text);
      expect(withoutRuntimes(text)).to.equal(text);
    }
  });

  it("takes a new place and new arguments over", () => {
    const once = withRuntimes("{}", "/old/dockline-oci", []);
    expect(runtimes(withRuntimes(once, program, ["--real-runtime=/r"]))).to.deep.equal({
      dockline: { path: program, runtimeArgs: ["--real-runtime=/r"] },
    });
  });

  it("refuses a name that somebody else has, and a file that is none", () => {
    const text = JSON.stringify({ runtimes: { dockline: { path: "/usr/bin/other" } } });
    expect(() => withRuntimes(text, program, [])).to.throw('"dockline" is /usr/bin/other');
    expect(withoutRuntimes(text)).to.equal(text);
    for (const bad of ["[]", "1", '{"runtimes": []}', "{"]) {
      expect(() => withRuntimes(bad, program, []), bad).to.throw();
    }
  });
});
