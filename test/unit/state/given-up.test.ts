import { writeFileSync } from "node:fs";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { GivenUpNotes, readGivenUp } from "../../../src/state/given-up.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("notes of what was given up", () => {
  const folder = tempFolder();
  after(folder.remove);

  it("are read although other files among them are no notes", async () => {
    const stateDir = folder.path("");
    const given = { containerId: "abc", pod: "shop/web", network: "net", plugin: "first" };
    await new GivenUpNotes(stateDir, silentLogger).add({ ...given, addresses: [], reason: "no" });
    for (const [at, text] of ["null", "7", "[]", "{ damaged"].entries()) {
      writeFileSync(folder.path(`given-up/${at}.json`), text);
    }
    expect((await readGivenUp(stateDir)).map(({ pod }) => pod)).to.deep.equal(["shop/web"]);
  });
});
