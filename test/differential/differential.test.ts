import { existsSync, readFileSync, readdirSync } from "node:fs";
import { expect } from "chai";
import fc from "fast-check";
import { expectNothingLeft, nodeState } from "../support/oracle.ts";
import type { NodeState } from "../support/oracle.ts";
import type { NodeFacts } from "./accepted.ts";
import { drawn } from "./drawn.ts";
import { handPicked } from "./hand-picked.ts";
import { plants } from "./plants.ts";
import type { PodPlan } from "./plan.ts";
import { probeArchives } from "./probe-image.ts";
import { sweepKilledRuns } from "./killed-runs.ts";
import { groups } from "./observation.ts";
import { runPlan } from "./run-plan.ts";
import { containerdSide, docklineSide, removePods } from "./sides.ts";
import type { DocklineSide, Side } from "./sides.ts";
import { compareAll, compareOn, compareOutcomes, unseen } from "./suite.ts";
import type { Report } from "./suite.ts";

const seed = Number(process.env["DOCKLINE_DIFFERENTIAL_SEED"] ?? "20260729");
const count = Number(process.env["DOCKLINE_DIFFERENTIAL_COUNT"] ?? "200");
const plans = handPicked();

describe("Dockline and containerd", () => {
  let dockline: DocklineSide;
  let containerd: Side;
  let facts: NodeFacts;
  let atStart: NodeState;
  let othersBefore: string[];
  let reports: Map<string, Report | Error>;

  before(async function () {
    this.timeout(120_000);
    sweepKilledRuns();
    const archives = await probeArchives();
    othersBefore = leftByOthers();
    dockline = await docklineSide(archives);
    containerd = await containerdSide(archives);
    const { SecurityOptions } = await dockline.node.docker.info();
    const { runtimeApiVersion } = await dockline.runtime.version({});
    facts = {
      apiMinor: Number(runtimeApiVersion.split(".")[1]),
      apparmor: (SecurityOptions ?? []).some((option) => option.includes("apparmor")),
      sharedRoot: /^\S+ \S+ \S+ \/ \/ \S+ (?:\S+ )*shared:/m.test(
        readFileSync("/proc/self/mountinfo", "utf8"),
      ),
    };
    atStart = nodeState(dockline.node);
  });
  after(async function () {
    this.timeout(60_000);
    await containerd.close();
    await dockline.close();
  });

  describe("with configurations picked by hand", () => {
    before(async function () {
      this.timeout(600_000);
      reports = await compareAll([dockline, containerd], plans);
    });
    for (const { name, containers } of plans) {
      it(`do the same: ${name} (${Math.max(1, containers.length)})`, () => {
        expectNoFaults(reports.get(name));
      });
    }

    it("show every accepted difference in its own configuration", () => {
      expect(unseen(reports, facts)).to.deep.equal([]);
    });
  });

  it(`do the same in ${count} drawn configurations (seed ${seed})`, async () => {
    const all = drawn(seed, count);
    const found = await compareAll([dockline, containerd], all);
    const bad = all.flatMap((plan) => {
      const report = found.get(plan.name);
      if (report instanceof Error) return [`${String(report)}\n${fc.stringify(plan)}`];
      return (report?.faults ?? []).map((fault) => `${fault}\n      ${caseOf(plan, fault)}`);
    });
    expect(bad.length, `${bad.length} faults:\n${bad.slice(0, 40).join("\n")}`).to.equal(0);
  }).timeout(60_000 + count * 5000);

  describe("of which one has a planted fault", () => {
    it("are tried in every group", () => {
      expect([...new Set(plants.map(({ group }) => group))].sort()).to.deep.equal(
        Object.keys(groups).sort(),
      );
    });
    const sound = new Map<PodPlan, Report>();
    for (const { name, group, plan, rewrite } of plants) {
      it(`differ: ${group}, ${name}`, async () => {
        const without = sound.get(plan) ?? (await compareOn([dockline, containerd], plan));
        sound.set(plan, without);
        const fault = dockline.node.proxy.faults.add({
          match: { method: "POST", route: /^\/containers\/create$/ },
          action: "rewrite",
          rewrite,
        });
        try {
          const planted = await runPlan(dockline, plan);
          expect(fault.hits).to.be.greaterThan(0);
          const { faults } = compareOutcomes(plan, planted, without.containerd);
          const found = faults.filter((one) => !without.faults.includes(one));
          expect(found.join("\n")).to.include(`: ${group}/`);
        } finally {
          dockline.node.proxy.faults.clear();
        }
      }).timeout(60_000);
    }
  });

  it("leave nothing behind", async () => {
    await removePods(containerd);
    await expectNothingLeft(dockline.node, atStart);
    expect(leftByOthers()).to.deep.equal(othersBefore);
  }).timeout(60_000);
});

/** Network namespaces of containerd on this machine. */
function leftByOthers(): string[] {
  const folder = "/var/run/netns";
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith("cni-")) : [];
}

function expectNoFaults(report: Report | Error | undefined): void {
  if (report instanceof Error) throw report;
  const faults = report?.faults ?? ["it was not run"];
  expect(faults.length, `${faults.length} faults:\n${faults.join("\n")}`).to.equal(0);
}

/** The container that a fault names, to be run again. */
function caseOf(plan: Parameters<typeof compareOutcomes>[0], fault: string): string {
  const named = plan.containers.find(({ name }) => fault.startsWith(`${plan.name} / ${name}:`));
  return fc.stringify(named?.container ?? plan.sandbox);
}
