import { expect } from "chai";
import { isMounted, propagationOf } from "../../../src/convert/mount-propagation.ts";

const table = [
  "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw",
  "21 20 0:5 / /a rw - tmpfs tmpfs rw",
  "22 21 0:6 / /a/b\\040c rw master:3 - tmpfs tmpfs rw",
  "23 20 0:7 / /both rw shared:4 master:5 - tmpfs tmpfs rw",
  "24 20 0:8 / /top rw shared:6 - tmpfs tmpfs rw",
  "25 24 0:9 / /top rw - tmpfs tmpfs rw",
  "26 20 0:10 / /none rw unbindable - resctrl resctrl rw",
  "a broken line",
].join("\n");

describe("the propagation of the mount that a path is on", () => {
  for (const [path, expected] of [
    ["/", "shared"],
    ["/x/y", "shared"],
    ["/ab", "shared"],
    ["/a", "private"],
    ["/a/x", "private"],
    ["/a/b c", "slave"],
    ["/a/b c/d", "slave"],
    ["/both", "shared"],
    ["/top/x", "private"],
    ["/none", "private"],
  ] as const)
    it(`${path}: ${expected}`, () => {
      expect(propagationOf(table, path)).to.equal(expected);
    });

  it("nothing is known without mounts", () => {
    expect(propagationOf("", "/x")).to.equal("private");
    expect(isMounted("", "resctrl")).to.equal(false);
    expect(isMounted(table, "resctrl")).to.equal(true);
    expect(isMounted(table, "tmp")).to.equal(false);
  });
});
