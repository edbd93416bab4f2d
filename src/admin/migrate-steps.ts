import { join } from "node:path";
import type { Config } from "../config/options.ts";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { socketOf } from "./doctor/kubelet.ts";
import { handBack, isEmpty, journalOf, planHandBack, undoHandBack } from "./hand-back.ts";
import type { HandBack } from "./hand-back.ts";
import type { FoundKubelet } from "./kubelet/steps.ts";
import { kubeletSteps, tellKubeadm } from "./kubelet/steps.ts";
import { findLeftOvers, removeLeftOvers } from "./leftovers.ts";
import type { MigrateOptions } from "./migrate-options.ts";
import type { FoundContainer } from "./migrate-node.ts";
import {
  beginUnits,
  criDockerdHasEnded,
  criDockerdUnits,
  docklineUnits,
  endUnits,
  whileKubeletRests,
} from "./migrate-units.ts";
import { count } from "./report.ts";
import type { Step } from "./report.ts";
import type { Units } from "./systemd-units.ts";

/** A node as it is before the first step. */
export interface FoundNode {
  containers: readonly FoundContainer[];
  /** Undefined where systemd is not the init. */
  units: Units | undefined;
  /** Of a hand-back that was written, whole or in part. */
  journal: HandBack | undefined;
  criDockerdRuns: boolean;
  kubelet: FoundKubelet;
}

/** What the kubelet is pointed at, also where systemd passes the socket. */
export const ownEndpoint = ({ containerRuntimeEndpoint }: Config): string =>
  `unix://${socketOf(containerRuntimeEndpoint)}`;

/** From cri-dockerd or dockershim to Dockline. Pods keep running through all of it. */
export async function fromSteps(
  options: MigrateOptions,
  { containers, units, journal, kubelet }: FoundNode,
): Promise<Step[]> {
  const { config, folders } = options;
  const steps: Step[] = [];
  if (options.from === "cri-dockerd") steps.push(endCriDockerd(units));
  if (journal !== undefined) {
    steps.push(undoStep("take back what a hand-back wrote:", journal, options));
  }
  const existing = new Set(containers.map(({ id }) => id));
  for (const [name, root] of [
    ["cri-dockerd", folders.criDockerd],
    ["dockershim", folders.dockershim],
  ] as const) {
    const leftOvers = await findLeftOvers(root, existing);
    if (leftOvers.length === 0) continue;
    steps.push({
      title: `remove ${count(leftOvers.length, "checkpoint")} of pods that are gone (${name}, ${root}): ${leftOvers.map(({ pod }) => pod).join(", ")}`,
      apply: async () => {
        await removeLeftOvers(root, leftOvers);
        return `${leftOvers.length} removed`;
      },
    });
  }
  steps.push(beginUnits("start Dockline", docklineUnits, units));
  const endpoint = ownEndpoint(config);
  steps.push(...kubeletSteps(kubelet, endpoint, units));
  return [...whileKubeletRests(steps, units), ...tellKubeadm(kubelet, endpoint)];
}

/** From Dockline to cri-dockerd. */
export async function backSteps(
  options: MigrateOptions,
  node: FoundNode,
  records: readonly SandboxRecord[],
): Promise<Step[]> {
  const { units, kubelet } = node;
  const endpoint = options.criDockerdEndpoint;
  const steps = [
    await handBackStep(options, node, records),
    endUnits("keep Dockline from starting", docklineUnits, units),
    beginUnits("start cri-dockerd", criDockerdUnits, units),
    ...kubeletSteps(kubelet, endpoint, units),
  ];
  return [...whileKubeletRests(steps, units), ...tellKubeadm(kubelet, endpoint)];
}

/** The undoing of a hand-back: its files only. */
export function undoSteps(options: MigrateOptions, { journal }: FoundNode): Step[] {
  return [
    journal === undefined
      ? { title: "nothing was handed back: nothing to undo" }
      : undoStep("take back", journal, options),
  ];
}

function undoStep(what: string, journal: HandBack, { config }: MigrateOptions): Step {
  const { created, logs } = journal;
  return {
    title: `${what} ${count(created.length, "file")}, ${count(logs.length, "log")}`,
    apply: async () => {
      await undoHandBack(journal, journalOf(config.stateDir));
      return "taken back";
    },
  };
}

function endCriDockerd(units: Units | undefined): Step {
  const step = endUnits("end cri-dockerd", criDockerdUnits, units);
  const { apply } = step;
  if (apply === undefined) return step;
  return {
    ...step,
    apply: async () => {
      const done = await apply();
      await criDockerdHasEnded();
      return done;
    },
  };
}

async function handBackStep(
  { config, folders }: MigrateOptions,
  { containers, journal, criDockerdRuns }: FoundNode,
  records: readonly SandboxRecord[],
): Promise<Step> {
  const journalPath = journalOf(config.stateDir);
  // Since it was written, cri-dockerd may have removed what it had no use for any more.
  if (journal !== undefined && criDockerdRuns) return handedBack(journalPath);
  const plan = await planHandBack({
    containers,
    records,
    criDockerdRoot: folders.criDockerd,
    cacheDir: config.cniCacheDir,
    journal,
  });
  if (journal !== undefined && isEmpty(plan)) return handedBack(journalPath);
  const existing = new Set(containers.map(({ id }) => id));
  const leftOvers = await findLeftOvers(folders.criDockerd, existing);
  return {
    title: `write ${count(plan.checkpoints.length, "checkpoint")} into ${join(folders.criDockerd, "sandbox")}, ${count(plan.attachments.length, "CNI result")} into ${join(config.cniCacheDir, "results")}, and let ${count(plan.logs.length, "log")} of running containers be links to Docker's`,
    apply: async () => {
      await removeLeftOvers(folders.criDockerd, leftOvers);
      await handBack(plan, journalPath);
      return `written; ${journalPath} says what`;
    },
  };
}

const handedBack = (journalPath: string): Step => ({
  title: `handed back already (${journalPath}); "--back --undo" takes it back`,
});
