import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { ResourceUpdates } from "../../../src/state/resource-updates.ts";
import { tempFolder } from "../../support/temp-folder.ts";

describe("resource updates", () => {
  let temporary: ReturnType<typeof tempFolder>;
  let stateDir: string;

  beforeEach(() => {
    temporary = tempFolder();
    stateDir = temporary.path("state");
  });
  afterEach(() => {
    temporary.remove();
  });

  const one = "1".repeat(64);
  const two = "2".repeat(64);

  it("survive a restart byte by byte, the last one counts", async () => {
    const updates = await ResourceUpdates.open(stateDir, silentLogger);
    await updates.save(one, new Uint8Array([1]));
    await updates.save(one, new Uint8Array([0, 255, 10]));
    const again = await ResourceUpdates.open(stateDir, silentLogger);
    expect([...(again.get(one) ?? [])]).to.deep.equal([0, 255, 10]);
    expect(again.get(two)).to.equal(undefined);
  });

  it("that cannot be read keep nothing from starting", async () => {
    const updates = await ResourceUpdates.open(stateDir, silentLogger);
    await updates.save(one, new Uint8Array([1]));
    mkdirSync(join(stateDir, "resources", two));
    mkdirSync(join(stateDir, "resources", "stranger"));
    const again = await ResourceUpdates.open(stateDir, silentLogger);
    expect([...(again.get(one) ?? [])]).to.deep.equal([1]);
    expect(again.get(two)).to.equal(undefined);
  });

  it("go with their containers, and half a write with the next start; what is not ours stays", async () => {
    const updates = await ResourceUpdates.open(stateDir, silentLogger);
    for (const id of [one, two]) await updates.save(id, new Uint8Array([7]));
    await updates.keepOnly((id) => id === two);
    await updates.delete(one);
    const folder = join(stateDir, "resources");
    writeFileSync(join(folder, `.${two}.00.tmp`), "half");
    writeFileSync(join(folder, "stranger"), "x");
    const again = await ResourceUpdates.open(stateDir, silentLogger);
    expect(readdirSync(folder).sort()).to.deep.equal([two, "stranger"].sort());
    expect([...(again.get(two) ?? [])]).to.deep.equal([7]);
    await again.delete(two);
    expect(readdirSync(folder)).to.deep.equal(["stranger"]);
  });
});
