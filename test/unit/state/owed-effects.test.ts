import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { OwedEffects } from "../../../src/state/owed-effects.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const container = "ab".repeat(32);
const other = "cd".repeat(32);
const exec = "12".repeat(32);

describe("effects owed to containers", () => {
  let folder: ReturnType<typeof tempFolder>;
  beforeEach(() => (folder = tempFolder()));
  afterEach(() => folder.remove());
  const open = (): OwedEffects => OwedEffects.open(folder.path(""), silentLogger);

  it("are known to the next process until they are done", () => {
    const before = open();
    before.oweLimits(container, "start");
    before.oweLimits(other, "update");
    before.limitsDone(other);
    before.oweExec(exec, container);
    before.oweExec(other, container);
    before.execDone(other);
    expect(before.execsLeft, "its own are waited for").to.deep.equal([]);
    const after = open();
    expect([...after.limits]).to.deep.equal([[container, "start"]]);
    expect(after.execsLeft).to.deep.equal([{ execId: exec, containerId: container }]);
    after.limitsDone(container);
    after.execDone(exec);
    expect(readdirSync(folder.path("owed"))).to.deep.equal([]);
  });

  it("after a start stay stronger than after an update, and what was only found is on no disk", () => {
    const owed = open();
    owed.oweLimits(other, "found");
    owed.oweLimits(container, "start");
    owed.oweLimits(container, "update");
    expect([...open().limits]).to.deep.equal([[container, "start"]]);
    owed.limitsDone(container);
    owed.oweLimits(container, "update");
    expect([...open().limits]).to.deep.equal([[container, "update"]]);
  });

  it("are left alone when their names say nothing", () => {
    open();
    for (const name of [
      "start-",
      `found-${container}`,
      "start-../../etc",
      `exec-${exec}`,
      "note",
    ]) {
      writeFileSync(folder.path(`owed/${name.replaceAll("/", "_")}`), "");
    }
    const owed = open();
    expect([...owed.limits, ...owed.execsLeft]).to.deep.equal([]);
    expect(readdirSync(folder.path("owed"))).to.have.length(5);
  });

  it("keep a container from being started when they cannot be noted, and no probe from running", () => {
    const owed = open();
    rmSync(folder.path("owed"), { recursive: true });
    writeFileSync(folder.path("owed"), "no folder");
    expect(() => owed.oweLimits(container, "start")).to.throw(/ENOTDIR/);
    expect([...owed.limits.keys()], "nothing was started").to.deep.equal([]);
    expect(() => owed.oweLimits(container, "start"), "again").to.throw(/ENOTDIR/);
    // Somebody else has started it.
    owed.oweLimitsAnyway(container);
    expect([...owed.limits], "this process knows").to.deep.equal([[container, "start"]]);
    expect(() => owed.oweLimits(container, "update"), "no file").to.throw(/ENOTDIR/);
    rmSync(folder.path("owed"));
    owed.oweLimits(container, "update");
    expect([...open().limits]).to.deep.equal([[container, "start"]]);
    owed.oweExec(exec, container);
    owed.execDone(exec);
  });

  it("have their folder made again when somebody tidied it away", () => {
    const owed = open();
    rmSync(folder.path("owed"), { recursive: true });
    owed.oweLimits(container, "start");
    expect([...open().limits.keys()]).to.deep.equal([container]);
  });

  it("keep Dockline from starting in no case", () => {
    writeFileSync(folder.path("owed"), "no folder");
    expect([...open().limits]).to.deep.equal([]);
    expect(existsSync(folder.path("owed"))).to.equal(true);
  });
});
