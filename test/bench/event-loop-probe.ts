/**
 * Loaded before the daemon (`node --import`): writes the event loop's delay to the file named in
 * DOCKLINE_BENCH_DELAY_FILE at each SIGUSR2, and starts over.
 */
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const histogram = monitorEventLoopDelay({ resolution: 1 });
histogram.enable();
process.on("SIGUSR2", () => {
  const ms = (ns: number): number => ns / 1e6;
  const figures = {
    samples: histogram.count,
    p50: ms(histogram.percentile(50)),
    p99: ms(histogram.percentile(99)),
    max: ms(histogram.max),
  };
  histogram.reset();
  writeFileSync(process.env["DOCKLINE_BENCH_DELAY_FILE"] ?? "/dev/null", JSON.stringify(figures));
});
