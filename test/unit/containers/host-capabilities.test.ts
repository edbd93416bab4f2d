import { writeFileSync } from "node:fs";
import { expect } from "chai";
import { missingCapabilities } from "../../../src/containers/host-capabilities.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("the node's capabilities", () => {
  const folder = tempFolder();
  after(folder.remove);
  const status = (bounding: string): string => {
    const file = folder.path("status");
    writeFileSync(file, `Name:\tinit\nCapBnd:\t${bounding}\nCapAmb:\t0000000000000000\n`);
    return file;
  };

  it("are those of init's bounding set, whatever Dockline itself was left with", () => {
    expect(missingCapabilities(status("000001ffffffffff"))).to.deep.equal([]);
    expect(missingCapabilities(status("000001fffeffffff"))).to.deep.equal(["SYS_RESOURCE"]);
    expect(missingCapabilities(status("000001fffcffffff"))).to.deep.equal([
      "SYS_RESOURCE",
      "SYS_TIME",
    ]);
  });

  it("do not count what the kernel does not know", () => {
    expect(missingCapabilities(status("0000000000000000"))).to.include("CHOWN");
    expect(missingCapabilities(status("ffffffffffffffff"))).to.deep.equal([]);
  });
});
