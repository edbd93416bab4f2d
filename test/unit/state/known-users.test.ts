import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { KnownUsers } from "../../../src/state/known-users.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("known users", () => {
  let temporary: ReturnType<typeof tempFolder>;
  let stateDir: string;
  const ids = { uid: 1000n, gid: 2n ** 32n - 2n, supplementalGroups: [0n, 7n] };

  beforeEach(() => {
    temporary = tempFolder();
    stateDir = temporary.path("state");
    mkdirSync(stateDir);
  });
  afterEach(() => {
    temporary.remove();
  });

  const open = (): Promise<KnownUsers> => KnownUsers.open(stateDir, silentLogger);

  it("survive a restart, the last 512 of them, and the first word of each counts", async () => {
    const users = await open();
    users.add("first", { ...ids, uid: 1n });
    for (let n = 0; n < 512; n += 1) users.add(`kind ${n}`, ids);
    users.add("kind 5", { ...ids, uid: 0n });
    await users.close();
    const again = await open();
    expect(again.get("kind 5")).to.deep.equal(ids);
    expect(again.get("kind 511")).to.deep.equal(ids);
    expect(again.get("first")).to.equal(undefined);
    expect(again.get("kind 5")).to.equal(again.get("kind 5"));
    expect(readdirSync(stateDir)).to.deep.equal(["known-users.json"]);
  });

  it("are none in a file that is damaged, and no half-written one stays", async () => {
    const rows = [["good", 1, 2, [3]], ["bad", -1, 2, []], ["bad", 1.5, 2, []], 7, ["short", 1]];
    for (const [text, known] of [
      ["", false],
      ["{", false],
      ["null", false],
      ['{"v":2,"users":[]}', false],
      [JSON.stringify({ v: 1, users: rows }), true],
    ] as const) {
      writeFileSync(join(stateDir, "known-users.json"), text);
      writeFileSync(join(stateDir, ".known-users.json.00.tmp"), "half");
      const users = await open();
      expect(users.get("good") !== undefined, text).to.equal(known);
      expect(users.get("bad"), text).to.equal(undefined);
      expect(readdirSync(stateDir)).to.deep.equal(["known-users.json"]);
    }
  });

  it("leave a newer version's file alone", async () => {
    const text = '{"v":2,"users":{}}';
    const path = join(stateDir, "known-users.json");
    writeFileSync(path, text);
    const users = await open();
    users.add("kind", ids);
    await users.close();
    expect(users.get("kind")).to.deep.equal(ids);
    expect(readFileSync(path, "utf8")).to.equal(text);
  });

  it("cost nothing but themselves where they cannot be written", async () => {
    const users = await KnownUsers.open(join(stateDir, "none"), silentLogger);
    users.add("kind", ids);
    await users.close();
    expect(users.get("kind")).to.deep.equal(ids);
  });
});
