import { join } from "node:path";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { readTextIfExists } from "../sys/fs.ts";
import { handBack, isEmpty, planHandBack, readHandBack, undoHandBack } from "./hand-back.ts";
import type { HandBack } from "./hand-back.ts";
import { editFlags, writeFlags } from "./kubelet-flags.ts";
import { findLeftOvers, removeLeftOvers } from "./leftovers.ts";
import type { MigrateOptions } from "./migrate.ts";
import type { FoundContainer } from "./migrate-node.ts";
import {
  beginUnits,
  criDockerdHasEnded,
  criDockerdUnits,
  docklineUnits,
  endUnits,
  findCriDockerd,
  whileKubeletRests,
} from "./migrate-units.ts";
import { count } from "./report.ts";
import type { Step } from "./report.ts";
import type { Units } from "./systemd-units.ts";

const annotation = "kubeadm.alpha.kubernetes.io/cri-socket";

/** What a hand-back wrote, in the state folder. */
export const journalOf = (stateDir: string): string => join(stateDir, "handed-back.json");

/** From cri-dockerd or dockershim to Dockline. Pods keep running through all of it. */
export async function fromSteps(
  options: MigrateOptions,
  containers: readonly FoundContainer[],
  units: Units | undefined,
): Promise<Step[]> {
  const { config, folders } = options;
  const steps: Step[] = [];
  if (options.from === "cri-dockerd") steps.push(endCriDockerd(units));
  const journalPath = journalOf(config.stateDir);
  const journal = await readHandBack(journalPath);
  if (journal !== undefined) {
    steps.push({
      title: `take back what a hand-back wrote: ${filesOf(journal)}`,
      apply: async () => {
        await undoHandBack(journal, journalPath);
        return "taken back";
      },
    });
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
  const endpoint = config.containerRuntimeEndpoint;
  steps.push(await kubeletStep(options, endpoint));
  return [...whileKubeletRests(steps, units), tellKubeadm(endpoint)];
}

/** From Dockline to cri-dockerd. */
export async function backSteps(
  options: MigrateOptions,
  containers: readonly FoundContainer[],
  records: readonly SandboxRecord[],
  units: Units | undefined,
): Promise<Step[]> {
  const steps = [
    await handBackStep(options, containers, records),
    endUnits("keep Dockline from starting", docklineUnits, units),
    beginUnits("start cri-dockerd", criDockerdUnits, units),
    await kubeletStep(options, options.criDockerdEndpoint),
  ];
  return [...whileKubeletRests(steps, units), tellKubeadm(options.criDockerdEndpoint)];
}

/** The undoing of a hand-back: its files only. */
export async function undoSteps(options: MigrateOptions): Promise<Step[]> {
  const journalPath = journalOf(options.config.stateDir);
  const journal = await readHandBack(journalPath);
  if (journal === undefined) return [{ title: "nothing was handed back: nothing to undo" }];
  return [
    {
      title: `take back ${filesOf(journal)}`,
      apply: async () => {
        await undoHandBack(journal, journalPath);
        return "taken back";
      },
    },
  ];
}

const filesOf = ({ created, logs }: HandBack): string =>
  `${count(created.length, "file")}, ${count(logs.length, "log")}`;

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
  containers: readonly FoundContainer[],
  records: readonly SandboxRecord[],
): Promise<Step> {
  const journalPath = journalOf(config.stateDir);
  const journal = await readHandBack(journalPath);
  // Since it was written, cri-dockerd may have removed what it had no use for any more.
  if (journal !== undefined && findCriDockerd().length > 0) return handedBack(journalPath);
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

const tellKubeadm = (endpoint: string): Step => ({
  title: "on a kubeadm cluster, tell kubeadm",
  commands: [`kubectl annotate node NODE --overwrite ${annotation}=${endpoint}`],
});

async function kubeletStep(options: MigrateOptions, endpoint: string): Promise<Step> {
  const path = options.kubeletFlags;
  if (path === undefined) {
    return {
      title:
        "point the kubelet there (its flags file, or containerRuntimeEndpoint in its configuration)",
      commands: [`--container-runtime-endpoint=${endpoint}`],
    };
  }
  const text = await readTextIfExists(path);
  if (text === undefined) throw new Error(`${path}: no such file`);
  const edit = editFlags(text, endpoint);
  if (edit.after === text) return { title: `${path} needs no change` };
  return {
    title: `edit ${path}: endpoint ${endpoint}${edit.removed.length === 0 ? "" : `, without ${edit.removed.join(", ")}`}`,
    apply: async () => {
      await writeFlags(path, edit);
      return `the old one is ${path}.before-dockline`;
    },
  };
}
