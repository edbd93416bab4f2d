import { round } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { MemoryFigure } from "./plan.ts";

/** A goal, what was measured, and whether it is met. */
export interface Verdict {
  goal: string;
  limit: string;
  measured: string;
  met: boolean | undefined;
}

export interface Measured {
  figures: Figures;
  memory: MemoryFigure[];
  restartMs: number[];
  delayP99Ms: number | undefined;
}

const own = "dockline";
const peer = "containerd";
const raw = "raw (Node)";

/** The goals of the benchmark; a goal whose other side was not there has no verdict. */
export function judge({ figures, memory, restartMs, delayP99Ms }: Measured): Verdict[] {
  const verdicts: Verdict[] = [];
  const ratio = (
    scenario: string,
    call: string,
    other: string,
    limit: number,
    least = false,
  ): void => {
    const found = figures.ratio({ scenario, call, subject: own }, other);
    const sign = least ? "≥" : "≤";
    verdicts.push({
      goal: `${call}, ${scenario}`,
      limit: `${sign} ${limit} × ${other}`,
      measured:
        found === undefined
          ? "not measured"
          : `${round(found.median)} × (${round(found.low)} … ${round(found.high)})`,
      met: found === undefined ? undefined : least ? found.median >= limit : found.median <= limit,
    });
  };
  const absolute = (goal: string, limit: number, unit: string, value: number | undefined): void => {
    verdicts.push({
      goal,
      limit: `≤ ${limit} ${unit}`,
      measured: value === undefined ? "not measured" : `${round(value)} ${unit}`,
      met: value === undefined ? undefined : value <= limit,
    });
  };
  const resident = (scenario: string): number | undefined =>
    memory.find((each) => each.scenario === scenario && each.process === own)?.residentMib;

  for (const call of ["ListContainers", "ListPodSandbox"]) {
    ratio("120 pods", call, peer, 1);
    ratio("120 pods", call, "raw (Go)", 0.1);
  }
  for (const call of ["ContainerStatus", "PodSandboxStatus"]) ratio("120 pods", call, peer, 1.5);
  ratio("one at a time", "RunPodSandbox", raw, 1.05);
  for (const call of ["CreateContainer", "StartContainer", "StopContainer", "RemoveContainer"])
    ratio("one at a time", call, raw, 1.05);
  ratio("20 pods", "ExecSync", raw, 1.05);
  ratio("120 pods, 4 at once", "pods/s", peer, 0.75, true);
  absolute("VmRSS with 20 pods, helpers included", 90, "MiB", resident("20 pods"));
  absolute("VmRSS at 500 containers, helpers included", 120, "MiB", resident("500 containers"));
  const restart = restartMs.length === 0 ? undefined : Math.max(...restartMs) / 1000;
  absolute("restart with 500 containers to correct lists (slowest)", 1.5, "s", restart);
  absolute("event-loop delay p99 during lists, 500 containers", 20, "ms", delayP99Ms);
  return verdicts;
}
