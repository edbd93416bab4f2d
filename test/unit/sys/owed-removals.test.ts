import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { OwedRemovals } from "../../../src/sys/owed-removals.ts";
import { mountSmallDisk } from "../../support/small-disk.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("removals of state", () => {
  it("are made good when a disk that was read-only is writable again", function () {
    // Only root may mount: npm test runs as root, a plain `mocha` need not.
    if (process.getuid?.() !== 0) this.skip();
    return (async () => {
      const disk = mountSmallDisk({ mib: 1 });
      try {
        const removals = new OwedRemovals();
        const path = (name: string): string => `${disk.path}/${name}`;
        for (const name of ["a", "b", "c"]) writeFileSync(path(name), "");
        disk.readOnly(true);
        await removals.remove(path("a"));
        await removals.remove(path("b"));
        expect(existsSync(path("a"))).to.equal(true);
        disk.readOnly(false);
        writeFileSync(path("b"), "new");
        removals.keep(path("b"));
        await removals.remove(path("c"));
        expect(["a", "b", "c"].map((name) => existsSync(path(name)))).to.deep.equal([
          false,
          true,
          false,
        ]);
      } finally {
        disk.unmount();
      }
    })();
  });

  it("fail when it is not the disk that hinders them, and what is not there is removed", async () => {
    const folder = tempFolder();
    try {
      const removals = new OwedRemovals();
      mkdirSync(folder.path("folder"));
      await removals.remove(folder.path("absent"));
      const error = await removals.remove(folder.path("folder")).catch((reason: unknown) => reason);
      expect((error as NodeJS.ErrnoException).code).to.be.oneOf(["EISDIR", "EPERM"]);
      rmSync(folder.path("folder"), { recursive: true });
      await removals.remove(folder.path("absent"));
    } finally {
      folder.remove();
    }
  });
});
