import { accepted, pointsOf } from "./accepted.ts";
import type { NodeFacts, Pair } from "./accepted.ts";
import { knownFaults } from "./known-faults.ts";
import { differencesBetween, showDifference } from "./compare.ts";
import { observe } from "./observation.ts";
import type { PodPlan } from "./plan.ts";
import { runPlan } from "./run-plan.ts";
import type { Outcome, PodOutcome } from "./run-plan.ts";
import type { Side } from "./sides.ts";

/** What a plan showed. */
export interface Report {
  /** Differences that belong to no row of docs/differences.md, to be read. */
  faults: string[];
  /** "plan / case" → the rows that were seen there. */
  points: Map<string, Set<string>>;
  dockline: PodOutcome;
  containerd: PodOutcome;
}

/** Runs a plan on both runtimes at once and compares. */
export async function compareOn(sides: readonly [Side, Side], plan: PodPlan): Promise<Report> {
  const results = await Promise.allSettled(sides.map((side) => runPlan(side, plan)));
  const [dockline, containerd] = results.map((result, at) => {
    if (result.status === "fulfilled") return result.value;
    throw new Error(`${plan.name} on ${sides[at]?.name ?? ""}: ${String(result.reason)}`, {
      cause: result.reason,
    });
  }) as [PodOutcome, PodOutcome];
  return { ...compareOutcomes(plan, dockline, containerd), dockline, containerd };
}

export function compareOutcomes(
  plan: PodPlan,
  dockline: PodOutcome,
  containerd: PodOutcome,
): Pick<Report, "faults" | "points"> {
  const faults: string[] = [];
  const points = new Map<string, Set<string>>();
  const compare = (where: string, pair: Pair): void => {
    for (const one of differencesBetween(observe(pair.dockline), observe(pair.containerd))) {
      const found = pointsOf(one, pair);
      for (const point of found) points.set(where, (points.get(where) ?? new Set()).add(point));
      if (found.length === 0) faults.push(describe(where, one, pair));
    }
  };
  compare(plan.name, {
    ...{ plan, container: undefined },
    ...outcomes(dockline.sandbox, containerd.sandbox),
  });
  for (const { name, container } of plan.containers) {
    const [ours, theirs] = [dockline.containers.get(name), containerd.containers.get(name)];
    // Its pod did not come up on one of them, which was compared already.
    if (ours === undefined || theirs === undefined) continue;
    compare(`${plan.name} / ${name}`, { ...{ plan, container }, ...outcomes(ours, theirs) });
  }
  return { faults, points };
}

const outcomes = (dockline: Outcome, containerd: Outcome) => ({ dockline, containerd });

function describe(where: string, one: Parameters<typeof showDifference>[0], pair: Pair): string {
  const said = [pair.dockline, pair.containerd]
    .map(({ message }) => message)
    .map((message, at) =>
      message === undefined
        ? ""
        : `\n      ${at === 0 ? "dockline" : "containerd"} said: ${message.slice(0, 400)}`,
    )
    .join("");
  return `${where}: ${showDifference(one)}${said}`;
}

/** Runs all plans, some at once, and gives the reports by name; an error stands for its plan. */
export async function compareAll(
  sides: readonly [Side, Side],
  plans: readonly PodPlan[],
  atOnce = 3,
): Promise<Map<string, Report | Error>> {
  const reports = new Map<string, Report | Error>();
  const left = [...plans];
  const worker = async (): Promise<void> => {
    for (let plan = left.shift(); plan !== undefined; plan = left.shift()) {
      const { name } = plan;
      reports.set(name, await compareOn(sides, plan).catch((error: unknown) => error as Error));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return reports;
}

/** The accepted differences and known faults that were not seen in the configuration that is named for them. */
export function unseen(reports: ReadonlyMap<string, Report | Error>, node: NodeFacts): string[] {
  return [...accepted, ...knownFaults]
    .filter(({ onlyWhere }) => onlyWhere?.(node) ?? true)
    .filter(({ point, shownBy }) => {
      const report = reports.get(shownBy.split(" / ")[0] ?? "");
      return (
        report === undefined ||
        report instanceof Error ||
        report.points.get(shownBy)?.has(point) !== true
      );
    })
    .map(({ point, shownBy }) => `${point} (${shownBy})`);
}
