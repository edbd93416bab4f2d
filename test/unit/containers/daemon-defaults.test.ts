import { readFileSync } from "node:fs";
import { expect } from "chai";
import { parseLimits } from "../../../src/containers/daemon-defaults.ts";

describe("the runtime's own limits", () => {
  it("are read as Docker names them", () => {
    const text = [
      "Limit                     Soft Limit           Hard Limit           Units     ",
      "Max cpu time              unlimited            unlimited            seconds   ",
      "Max core file size        0                    unlimited            bytes     ",
      "Max open files            1024                 524288               files     ",
      "Max nice priority         0                    0                    ",
      "Max something new         1                    2                    ",
      "",
    ].join("\n");
    expect(parseLimits(text)).to.deep.equal([
      { Name: "cpu", Soft: -1, Hard: -1 },
      { Name: "core", Soft: 0, Hard: -1 },
      { Name: "nofile", Soft: 1024, Hard: 524288 },
      { Name: "nice", Soft: 0, Hard: 0 },
    ]);
  });

  it("are all there in this kernel's words", () => {
    const found = parseLimits(readFileSync("/proc/self/limits", "utf8"));
    expect(found.map(({ Name }) => Name).sort()).to.deep.equal(
      "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
        " ",
      ),
    );
  });
});
