import { mkdirSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import type { Change, ContainerEntry, ContainerIndex } from "../../../src/index/container-index.ts";
import { silentLogger } from "../../../src/log.ts";
import { buildStats } from "../../../src/daemon/stats-parts.ts";
import { systemClock } from "../../../src/sys/clock.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { until } from "../../support/until.ts";

describe("figures, wired to the index", () => {
  it("walk the layer of a container whose start is known before its pid", async () => {
    const folder = tempFolder();
    mkdirSync(folder.path("layer"));
    let tell: (change: Change) => void = () => undefined;
    const index = {
      onChange: (listener: (change: Change) => void) => {
        tell = listener;
        return () => undefined;
      },
    } as ContainerIndex;
    const stats = buildStats({
      index,
      engine: () => undefined,
      clock: systemClock,
      log: silentLogger,
    });
    const entry = (Running: boolean): ContainerEntry =>
      ({
        id: "a",
        kind: "container",
        state: { Running, Pid: 0 },
        inspect: { GraphDriver: { Data: { UpperDir: folder.path("layer") } } },
      }) as unknown as ContainerEntry;
    try {
      stats.layers.start();
      stats.noteLayer(entry(true));
      await until(() => stats.layers.of("a")?.inodesUsed === 1n);
      writeFileSync(folder.path("layer/file"), "x");
      tell({ kind: "stopped", entry: entry(false), atNs: 0n });
      await until(() => stats.layers.of("a")?.inodesUsed === 2n, 3000);

      // A start that was reported while nobody looked is caught up on when somebody does.
      writeFileSync(folder.path("layer/more"), "x");
      stats.noteLayer(entry(true));
      await until(() => stats.layers.of("a")?.inodesUsed === 3n, 3000);
      expect(stats.layers.of("a")?.usedBytes).to.not.equal(0n);
    } finally {
      await stats.close();
      folder.remove();
    }
  });
});
