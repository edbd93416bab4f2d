import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { failpoint } from "../../../src/sys/failpoint.ts";
import { Rollback } from "../../../src/sys/rollback.ts";

describe("rollback", () => {
  it("runs in reverse, each step whatever the others did, and once", async () => {
    const done: string[] = [];
    const rollback = new Rollback();
    for (const name of ["first", "second", "third"]) {
      rollback.push(name, () => {
        done.push(name);
        return name === "second" ? Promise.reject(new Error("no")) : Promise.resolve();
      });
    }
    expect(await rollback.undo(silentLogger)).to.equal(false);
    expect(done).to.deep.equal(["third", "second", "first"]);
    expect(await rollback.undo(silentLogger)).to.equal(true);
    expect(done).to.have.length(3);
  });

  it("does nothing after the commit", async () => {
    const rollback = new Rollback();
    rollback.push("x", () => Promise.reject(new Error("ran")));
    rollback.commit();
    expect(await rollback.undo(silentLogger)).to.equal(true);
  });
});

describe("failpoints", () => {
  it("do nothing on an ordinary node", () => {
    failpoint("run.after-record");
    expect(process.env["DOCKLINE_FAILPOINT"]).to.equal(undefined);
  });

  it("are each one the end of Dockline in a test", () => {
    const root = join(import.meta.dirname, "..", "..", "..");
    const texts = (folder: string): string[] =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((path) => path.endsWith(".ts"))
        .map((path) => readFileSync(join(root, folder, path), "utf8"));
    const places = texts("src").flatMap((text) =>
      [...text.matchAll(/\bfailpoint\("([^"]+)"\)/g)].map(([, place = ""]) => place),
    );
    expect(places).to.include.members(["run.after-record", "pull.after-pull"]);
    const tests = texts(join("test", "integration"));
    expect(
      places.filter((place) => !tests.some((text) => text.includes(`"${place}"`))),
    ).to.deep.equal([]);
  });
});

describe("the clock", () => {
  it("has nanoseconds near the wall clock and a monotonic part", () => {
    const nowNs = systemClock.nowNs();
    expect(Math.abs(Number(nowNs / 1_000_000n) - Date.now())).to.be.below(50);
    expect(systemClock.monotonicMs()).to.be.at.most(systemClock.monotonicMs());
  });

  it("ends a sleep with the signal's reason, before it and in it", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const sleeping = systemClock.sleep(60_000, controller.signal).catch((error: unknown) => error);
    controller.abort(reason);
    expect(await sleeping).to.equal(reason);
    const late = systemClock.sleep(60_000, controller.signal).catch((error: unknown) => error);
    expect(await late).to.equal(reason);
    await systemClock.sleep(1);
  });
});
