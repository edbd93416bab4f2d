import {
  linkSync,
  mkdirSync,
  opendirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { DiskWalk } from "../../../src/stats/disk-walk.ts";
import { overlayMounts, upperDirOf } from "../../../src/stats/layer-path.ts";
import { LayerSizes } from "../../../src/stats/layer-sizes.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { writeTree } from "./trees.ts";

describe("writable layers", () => {
  let folder: ReturnType<typeof tempFolder>;
  let sizes: LayerSizes | undefined;
  beforeEach(() => {
    folder = tempFolder();
  });
  afterEach(async () => {
    await sizes?.close();
    sizes = undefined;
    folder.remove();
  });

  const bytesOf = (...names: string[]): bigint =>
    names.reduce((sum, name) => sum + statSync(folder.path(name), { bigint: true }).blocks, 0n) *
    512n;
  const until = async (what: () => boolean): Promise<void> => {
    for (let waitedMs = 0; !what(); waitedMs += 5) {
      if (waitedMs > 25_000) throw new Error("waited in vain");
      await systemClock.sleep(5);
    }
  };

  it("count blocks on disk, linked files once, and do not follow links", async () => {
    mkdirSync(folder.path("layer/etc"), { recursive: true });
    writeFileSync(folder.path("layer/etc/big"), Buffer.alloc(300_000, 1));
    linkSync(folder.path("layer/etc/big"), folder.path("layer/again"));
    symlinkSync("/", folder.path("layer/root"));
    const walk = new DiskWalk(folder.path("layer"));
    expect(await walk.step(1000)).to.equal(true);
    expect(walk.result()).to.deep.equal({
      usedBytes: bytesOf("layer", "layer/etc", "layer/etc/big"),
      inodesUsed: 4n,
    });
  });

  it("can be put aside in the middle and taken up again", async () => {
    mkdirSync(folder.path("layer"));
    for (let file = 0; file < 300; file += 1) writeFileSync(folder.path(`layer/${file}`), "x");
    const walk = new DiskWalk(folder.path("layer"));
    let steps = 1;
    while (!(await walk.step(0))) steps += 1;
    expect(steps).to.be.above(100);
    expect(walk.result().inodesUsed).to.equal(301n);
  });

  it("are measured in turn: a large one does not hold up the others", async () => {
    mkdirSync(folder.path("large"));
    for (let file = 0; file < 600; file += 1) writeFileSync(folder.path(`large/${file}`), "");
    mkdirSync(folder.path("small"));
    sizes = new LayerSizes({ clock: systemClock, log: silentLogger, sliceMs: 1 });
    sizes.track("large", folder.path("large"));
    sizes.track("small", folder.path("small"));
    sizes.start();
    await until(() => sizes?.of("small") !== undefined);
    expect(sizes.of("large")).to.equal(undefined);
    await until(() => sizes?.of("large") !== undefined);
    expect(sizes.of("large")?.inodesUsed).to.equal(601n);
    expect(sizes.total().inodesUsed).to.equal(602n);
  }).timeout(10_000);

  it("are measured again, for the last time after the container stopped", async () => {
    mkdirSync(folder.path("layer"));
    sizes = new LayerSizes({ clock: systemClock, log: silentLogger, intervalMs: 20 });
    sizes.track("a", folder.path("layer"));
    sizes.start();
    await until(() => sizes?.of("a")?.inodesUsed === 1n);
    writeFileSync(folder.path("layer/one"), "x");
    await until(() => sizes?.of("a")?.inodesUsed === 2n);
    writeFileSync(folder.path("layer/two"), "x");
    sizes.changed("a", false);
    await until(() => sizes?.of("a")?.inodesUsed === 3n);
    writeFileSync(folder.path("layer/three"), "x");
    await systemClock.sleep(200);
    expect(sizes.of("a")?.inodesUsed).to.equal(3n);
    sizes.changed("a", true);
    await until(() => sizes?.of("a")?.inodesUsed === 4n);
    // On a busy machine a walk takes longer, and the next one comes later for it.
  }).timeout(30_000);

  it("are walked once more when the container stopped in the middle of a walk", async () => {
    mkdirSync(folder.path("layer"));
    for (let file = 0; file < 300; file += 1) writeFileSync(folder.path(`layer/${file}`), "x");
    sizes = new LayerSizes({ clock: systemClock, log: silentLogger, sliceMs: 0 });
    sizes.track("a", folder.path("layer"));
    sizes.start();
    await systemClock.sleep(60);
    expect(sizes.of("a")).to.equal(undefined);
    // The first in the folder's own order: counted by now.
    const listing = opendirSync(folder.path("layer"));
    rmSync(folder.path(`layer/${listing.readSync()?.name ?? ""}`));
    listing.closeSync();
    sizes.changed("a", false);
    await until(() => sizes?.of("a")?.inodesUsed === 300n);
  });

  it("are cut off at a bound, and forgotten with the container", async () => {
    mkdirSync(folder.path("layer"));
    for (let file = 0; file < 500; file += 1) writeFileSync(folder.path(`layer/${file}`), "");
    sizes = new LayerSizes({ clock: systemClock, log: silentLogger, sliceMs: 0, mostInodes: 50 });
    sizes.track("a", folder.path("layer"));
    sizes.start();
    await until(() => sizes?.of("a") !== undefined);
    expect(Number(sizes.of("a")?.inodesUsed)).to.be.within(51, 100);
    sizes.drop("a");
    expect(sizes.of("a")).to.equal(undefined);
  });

  it("that are not there keep nobody waiting", async () => {
    rmSync(folder.path("gone"), { recursive: true, force: true });
    sizes = new LayerSizes({ clock: systemClock, log: silentLogger });
    sizes.track("a", folder.path("gone"));
    sizes.start();
    const startMs = performance.now();
    await sizes.firstSizes(2000);
    expect(performance.now() - startMs).to.be.below(1500);
    expect(sizes.of("a")).to.equal(undefined);
  });

  it("whose first walk takes long keep one call waiting, and a new layer has its own wait", async () => {
    mkdirSync(folder.path("layer"));
    let nowMs = 0;
    const clock = {
      ...systemClock,
      monotonicMs: () => nowMs,
      sleep: (ms: number) => {
        nowMs += ms;
        return Promise.resolve();
      },
    };
    // Not started: no walk ever ends.
    sizes = new LayerSizes({ clock, log: silentLogger });
    const waitedMs = async (): Promise<number> => {
      const startMs = nowMs;
      await sizes?.firstSizes(500);
      return nowMs - startMs;
    };
    sizes.track("a", folder.path("layer"));
    expect(await waitedMs()).to.equal(500);
    expect(await waitedMs()).to.equal(0);
    sizes.track("b", folder.path("layer"));
    expect(await waitedMs()).to.equal(500);
    expect(await waitedMs()).to.equal(0);
  });

  it("are found in a container's own mounts", () => {
    writeTree(folder.path, {
      "7/mountinfo": [
        "600 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/c/snapshots/1/fs:/c/snapshots/2/fs,upperdir=/c/a\\040b/3/fs,workdir=/c/3/work",
        "601 600 0:51 / /data rw - overlay overlay rw,lowerdir=/x,upperdir=/y,workdir=/z",
        "602 600 0:52 / /proc rw - proc proc rw",
        "",
      ].join("\n"),
      "8/mountinfo": "600 500 0:50 / / rw - overlay overlay rw,lowerdir=l/A,upperdir=B/diff\n",
    });
    expect(upperDirOf(7, folder.path(""))).to.equal("/c/a b/3/fs");
    expect(upperDirOf(8, folder.path(""))).to.equal(undefined);
    expect(upperDirOf(9, folder.path(""))).to.equal(undefined);
    expect(overlayMounts(7, folder.path(""))).to.have.length(2);
  });
});
