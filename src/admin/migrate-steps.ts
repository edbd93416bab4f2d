import { existsSync } from "node:fs";
import { join } from "node:path";
import type { SandboxRecord } from "../state/sandbox-records.ts";
import { readTextIfExists } from "../sys/fs.ts";
import { runProcess } from "../sys/process.ts";
import { handBack, planHandBack, readHandBack, undoHandBack } from "./hand-back.ts";
import { editFlags, writeFlags } from "./kubelet-flags.ts";
import { findLeftOvers, removeLeftOvers } from "./leftovers.ts";
import type { MigrateOptions } from "./migrate.ts";
import type { FoundContainer } from "./migrate-node.ts";
import { count } from "./report.ts";
import type { Step } from "./report.ts";

const criDockerdUnits = ["cri-docker.socket", "cri-docker.service"];
const criDockerdSocket = "unix:///var/run/cri-dockerd.sock";
const annotation = "kubeadm.alpha.kubernetes.io/cri-socket";

/** Running under systemd as init, which "systemctl" alone does not say. */
const hasSystemd = (): boolean => existsSync("/run/systemd/system");

const journalOf = (stateDir: string): string => join(stateDir, "handed-back.json");

/** From cri-dockerd or dockershim to Dockline. Pods keep running through all of it. */
export async function fromSteps(
  options: MigrateOptions,
  containers: readonly FoundContainer[],
): Promise<Step[]> {
  const { config, folders } = options;
  const steps: Step[] = [systemctl("stop the kubelet", "stop", ["kubelet.service"])];
  if (options.from === "cri-dockerd") {
    steps.push(systemctl("end cri-dockerd", "disable", ["--now", ...criDockerdUnits]));
  }
  const journalPath = journalOf(config.stateDir);
  const journal = await readHandBack(journalPath);
  if (journal !== undefined) {
    steps.push({
      title: `take back what a hand-back wrote: ${count(journal.created.length, "file")}, ${count(journal.logs.length, "log")}`,
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
  steps.push(systemctl("start Dockline", "enable", ["--now", "dockline.service"]));
  steps.push(await kubeletStep(options, config.containerRuntimeEndpoint));
  steps.push(systemctl("start the kubelet", "start", ["kubelet.service"]));
  steps.push({
    title: "on a kubeadm cluster, tell kubeadm",
    commands: [
      `kubectl annotate node NODE --overwrite ${annotation}=${config.containerRuntimeEndpoint}`,
    ],
  });
  return steps;
}

/** From Dockline to cri-dockerd, or the undoing of that. */
export async function backSteps(
  options: MigrateOptions,
  containers: readonly FoundContainer[],
  records: readonly SandboxRecord[],
): Promise<Step[]> {
  const { config, folders } = options;
  const journalPath = journalOf(config.stateDir);
  const journal = await readHandBack(journalPath);
  if (options.direction === "undo") {
    if (journal === undefined) return [{ title: "nothing was handed back: nothing to undo" }];
    return [
      {
        title: `take back ${count(journal.created.length, "file")} and ${count(journal.logs.length, "log")}`,
        apply: async () => {
          await undoHandBack(journal, journalPath);
          return "taken back";
        },
      },
    ];
  }
  if (journal !== undefined) {
    return [{ title: `handed back already (${journalPath}); "--back --undo" takes it back` }];
  }
  const plan = await planHandBack({
    containers,
    records,
    criDockerdRoot: folders.criDockerd,
    cacheDir: config.cniCacheDir,
  });
  const existing = new Set(containers.map(({ id }) => id));
  const leftOvers = await findLeftOvers(folders.criDockerd, existing);
  return [
    {
      title: `write ${count(plan.checkpoints.length, "checkpoint")} into ${join(folders.criDockerd, "sandbox")}, ${count(plan.attachments.length, "CNI result")} into ${join(config.cniCacheDir, "results")}, and let ${count(plan.logs.length, "log")} of running containers be links to Docker's`,
      apply: async () => {
        await removeLeftOvers(folders.criDockerd, leftOvers);
        await handBack(plan, journalPath);
        return `written; ${journalPath} says what`;
      },
    },
    systemctl("keep Dockline from starting", "disable", ["dockline.socket", "dockline.service"]),
    systemctl("start cri-dockerd", "enable", ["--now", ...criDockerdUnits]),
    await kubeletStep(options, criDockerdSocket),
    systemctl("start the kubelet", "start", ["kubelet.service"]),
    {
      title: "on a kubeadm cluster, tell kubeadm",
      commands: [`kubectl annotate node NODE --overwrite ${annotation}=${criDockerdSocket}`],
    },
  ];
}

/** Done by us where systemd runs, else a command for whatever starts services there. */
function systemctl(title: string, verb: string, units: readonly string[]): Step {
  const args = [verb, ...units];
  const commands = [`systemctl ${args.join(" ")}`];
  if (!hasSystemd()) return { title, commands };
  return {
    title,
    commands,
    apply: async () => {
      const { exitCode, stderr } = await runProcess("systemctl", args, { timeoutMs: 120_000 });
      if (exitCode !== 0) throw new Error(`${commands.join("")}: ${stderr.trim()}`);
      return "ok";
    },
  };
}

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
