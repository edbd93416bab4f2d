import { round } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { Verdict } from "./goals.ts";
import type { LoadFigure, Machine } from "./machine.ts";
import type { MemoryFigure, PollingFigure } from "./plan.ts";
import type { IdleCount, RequestCount } from "./request-counts.ts";

/** All of a run: what the JSON has, and what table and page are made of. */
export interface Report {
  machine: Machine;
  minutes: number;
  load: LoadFigure[];
  subjects: string[];
  figures: Figures;
  memory: MemoryFigure[];
  polling: PollingFigure[];
  restartMs: number[];
  delay: Record<string, number> | undefined;
  verdicts: Verdict[];
  counts: RequestCount[];
  idle: IdleCount;
}

export interface Row {
  scenario: string;
  call: string;
  medians: Record<string, number>;
  /** Dockline's median by each other's, over the blocks. */
  ratios: Record<string, number>;
}

export function rows({ figures, subjects }: Pick<Report, "figures" | "subjects">): Row[] {
  const seen = new Map<string, Row>();
  for (const { scenario, call } of figures.keys) {
    const at = `${scenario}|${call}`;
    if (seen.has(at)) continue;
    const row: Row = { scenario, call, medians: {}, ratios: {} };
    for (const subject of subjects) {
      const value = figures.median({ scenario, call, subject });
      if (value !== undefined) row.medians[subject] = value;
      const ratio = figures.ratio({ scenario, call, subject: subjects[0] ?? "" }, subject);
      if (ratio !== undefined && subject !== subjects[0]) row.ratios[subject] = ratio.median;
    }
    seen.set(at, row);
  }
  return [...seen.values()];
}

export function table(report: Report): string {
  const others = report.subjects.slice(1);
  const lines = [
    ["scenario", "call", ...report.subjects, ...others.map((name) => `× ${name}`)],
    ...rows(report).map(({ scenario, call, medians, ratios }) => [
      scenario,
      call,
      ...report.subjects.map((name) => figure(medians[name])),
      ...others.map((name) => figure(ratios[name])),
    ]),
  ];
  const out = [...aligned(lines), ""];
  for (const { scenario, subject, process, residentMib } of report.memory)
    out.push(`${scenario}: ${subject}, VmRSS of ${process}: ${residentMib.toFixed(1)} MiB`);
  for (const { scenario, subject, process, cpuPercent } of report.polling)
    out.push(`${scenario}: ${subject}, CPU of ${process}: ${cpuPercent.toFixed(2)} %`);
  const restarts = report.restartMs.map((ms) => ms.toFixed(0)).join(", ");
  out.push(`restart to correct lists: ${restarts} ms`);
  if (report.delay !== undefined) out.push(`event-loop delay: ${JSON.stringify(report.delay)}`);
  out.push("", ...verdictLines(report.verdicts));
  return out.join("\n");
}

export function verdictLines(verdicts: readonly Verdict[]): string[] {
  return aligned(
    verdicts.map(({ goal, limit, measured, met }) => [
      met === undefined ? "?" : met ? "met" : "MISSED",
      goal,
      limit,
      measured,
    ]),
  );
}

export function countLines(counts: readonly RequestCount[], idle: IdleCount): string[] {
  return [
    ...aligned(
      counts.map(({ rpc, requests, floor, byIndex, ok }) => [
        ok ? "ok" : "FAIL",
        rpc,
        `${requests.length} of ${floor}`,
        `index ${byIndex}`,
        requests.join(", "),
      ]),
    ),
    `${idle.ok ? "ok" : "FAIL"}  idle, ${idle.containers} containers, two lists a second: ` +
      `${idle.perSecond.toFixed(2)} requests/s over ${idle.seconds} s`,
  ];
}

function aligned(lines: string[][]): string[] {
  const widths: number[] = [];
  for (const line of lines)
    line.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)));
  return lines.map((line) =>
    line
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

export function figure(value: number | undefined): string {
  return value === undefined ? "" : String(round(value));
}
