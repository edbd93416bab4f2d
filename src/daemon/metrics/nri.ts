import { Counter, Gauge } from "prom-client";
import type { Registry } from "prom-client";
import type { MetricsSources, NriAsked } from "./sources.ts";

/** What NRI plugins were asked; nothing but a zero without one. */
export function registerNri(sources: MetricsSources, registers: Registry[]): void {
  new Gauge({
    name: "dockline_nri_active_plugins",
    help: "NRI plugins that are connected and synchronized.",
    registers,
    collect() {
      this.set(sources.nri?.().connected ?? 0);
    },
  });
  const counter = (name: string, help: string, read: (asked: NriAsked) => number): void => {
    new Counter({
      name: `dockline_nri_plugin_${name}`,
      help,
      labelNames: ["plugin", "operation", "status"] as const,
      registers,
      collect() {
        this.reset();
        for (const asked of sources.nri?.().asked ?? []) {
          const { plugin, operation, status } = asked;
          this.inc({ plugin, operation, status }, read(asked));
        }
      },
    });
  };
  counter("invocations_total", "Questions to NRI plugins that have ended.", ({ count }) => count);
  counter("seconds_total", "Time that NRI plugins took with them.", ({ seconds }) => seconds);
}
