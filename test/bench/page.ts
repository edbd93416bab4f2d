import { figure, rows } from "./report.ts";
import type { Report, Row } from "./report.ts";

const colours = ["#1f5fbf", "#c46a1b", "#3d8b53", "#8a5aa8", "#777777", "#b03a48"];

/** One file without scripts or anything from elsewhere. */
export function page(report: Report): string {
  const { machine } = report;
  const groups = new Map<string, Row[]>();
  for (const row of rows(report)) {
    groups.set(row.scenario, [...(groups.get(row.scenario) ?? []), row]);
  }
  const facts = [
    `${machine.date} UTC, commit ${machine.commit}, ${report.minutes.toFixed(0)} minutes`,
    `${machine.processor}, ${machine.processors} processors, ${machine.memoryGib} GiB`,
    `${machine.distribution}, kernel ${machine.kernel}, cgroups ${machine.cgroups}`,
    `Docker Engine ${machine.engine}, containerd ${machine.containerd}, Node ${machine.node}`,
    loadText(report),
  ];
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Dockline's benchmark</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .15em .8em .15em 0; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums } .missed { color: #b00020; font-weight: 600 }
.met { color: #2b7a3d } svg { display: block; margin: .3em 0 1.2em } small { color: #666 }
</style>
<h1>Dockline's benchmark</h1>
<p>${facts.map(escaped).join("<br>")}</p>
<h2>Goals</h2>
${goals(report)}
<h2>Calls</h2>
<p>Medians of interleaved blocks in milliseconds (pods a second where it says so); shorter bars are
faster. “raw” is Docker's API alone, with Go's HTTP client and with Dockline's own.</p>
${legend(report.subjects)}
${[...groups].map(([name, group]) => section(name, group, report.subjects)).join("\n")}
<h2>Memory and CPU</h2>
${machineTable(report)}
<h2>Requests to Docker</h2>
${countTable(report)}
</html>
`;
}

export function loadText({ load }: Pick<Report, "load">): string {
  const averages = load.map(({ average }) => average);
  const stolen = load.map((each) => each.stolen);
  const range = (values: number[], digits: number): string =>
    `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`;
  return (
    `Load average of the machine during the run: ${range(averages, 1)}; ` +
    `stolen CPU time: ${range(
      stolen.map((part) => part * 100),
      1,
    )} %`
  );
}

function goals({ verdicts }: Report): string {
  const lines = verdicts.map(({ goal, limit, measured, met }) => {
    const word = met === undefined ? "?" : met ? "met" : "missed";
    return `<tr><td class="${word}">${word}<td>${escaped(goal)}<td>${escaped(limit)}<td>${escaped(measured)}`;
  });
  return `<table><tr><th><th>goal<th>limit<th>measured (quartiles of the blocks)${lines.join("\n")}</table>`;
}

function legend(subjects: readonly string[]): string {
  const keys = subjects.map(
    (name, at) => `<span style="color:${colours[at] ?? ""}">■</span> ${escaped(name)}`,
  );
  return `<p>${keys.join(" &nbsp; ")}</p>`;
}

function section(name: string, group: readonly Row[], subjects: readonly string[]): string {
  return `<h3>${escaped(name)}</h3>\n${group.map((row) => chart(row, subjects)).join("\n")}`;
}

/** Bars on a scale of their own: calls differ by three orders of magnitude. */
function chart({ call, medians }: Row, subjects: readonly string[]): string {
  const shown = subjects.flatMap((name, at) => {
    const value = medians[name];
    return value === undefined ? [] : [{ name, value, colour: colours[at] ?? "#000" }];
  });
  const largest = Math.max(...shown.map(({ value }) => value));
  const bars = shown.map(({ name, value, colour }, at) => {
    const width = Math.max(1, (value / largest) * 380);
    const y = at * 17;
    const label = `<text x="${(width + 6).toFixed(0)}" y="${y + 12}" font-size="12">${figure(value)} <tspan fill="#777">${escaped(name)}</tspan></text>`;
    return `<rect y="${y}" width="${width.toFixed(1)}" height="14" fill="${colour}"/>${label}`;
  });
  return `<div><b>${escaped(call)}</b><svg width="620" height="${shown.length * 17}" role="img" aria-label="${escaped(call)}">${bars.join("")}</svg></div>`;
}

function machineTable({ memory, polling, restartMs, delay }: Report): string {
  const lines = [
    ...memory.map(({ scenario, subject, process, residentMib }) => [
      `VmRSS, ${scenario}`,
      `${process} (${subject})`,
      `${residentMib.toFixed(1)} MiB`,
    ]),
    ...polling.map(({ scenario, subject, process, cpuPercent }) => [
      `CPU, ${scenario}`,
      `${process} (${subject})`,
      `${cpuPercent.toFixed(2)} %`,
    ]),
    ...restartMs.map((ms) => ["kill -9 to correct lists", "dockline", `${ms.toFixed(0)} ms`]),
    ...Object.entries(delay ?? {}).map(([name, value]) => [
      `event-loop delay during lists, ${name}`,
      "dockline",
      name === "samples" ? String(value) : `${value.toFixed(2)} ms`,
    ]),
  ];
  return `<table>${lines
    .map(
      ([what = "", who = "", value = ""]) =>
        `<tr><td>${escaped(what)}<td>${escaped(who)}<td class="n">${value}`,
    )
    .join("\n")}</table>`;
}

function countTable({ counts, idle }: Report): string {
  const lines = counts.map(
    ({ rpc, requests, byIndex }) =>
      `<tr><td>${escaped(rpc)}<td class="n">${requests.length}<td class="n">${byIndex}<td><small>${escaped(requests.join(", "))}</small>`,
  );
  return `<p>Idle with ${idle.containers} containers and two lists a second: ${idle.perSecond.toFixed(2)} requests a second.</p>
<table><tr><th>RPC<th>its own<th>index<th>${lines.join("\n")}</table>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
