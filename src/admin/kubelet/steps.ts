import { writeFlags } from "../kubelet-flags.ts";
import { findProcesses, ownProcesses } from "../migrate-node.ts";
import type { Finding, Step } from "../report.ts";
import { runSystemctl } from "../systemd-units.ts";
import type { Units } from "../systemd-units.ts";
import { writeTrouble } from "../text-file.ts";
import { endpointOf, planEndpoint, readsAnnotation, staleEndpoint } from "./endpoint.ts";
import type { EndpointEdit } from "./endpoint.ts";
import { kubeletAmong, readKubeletFiles } from "./files.ts";
import type { KubeletFiles } from "./files.ts";
import { askVersion, readMinor, unitProgram } from "./version.ts";

const annotation = "kubeadm.alpha.kubernetes.io/cri-socket";

/** The kubelet of this node: its files, and its version where that is known. */
export interface FoundKubelet {
  files: KubeletFiles;
  minor: number | undefined;
}

export async function findKubelet(named: {
  kubeletFlags: string | undefined;
  kubeletConfig: string | undefined;
}): Promise<FoundKubelet> {
  const running = kubeletAmong(ownProcesses(findProcesses("kubelet")));
  return {
    files: await readKubeletFiles(
      { flags: named.kubeletFlags, config: named.kubeletConfig },
      running,
    ),
    minor: await readMinor(running, { version: askVersion, unitProgram }),
  };
}

/** Where the kubelet has its runtime from, and what keeps it from getting another one by us. */
export function kubeletFindings(
  { files, minor }: FoundKubelet,
  endpoint: string,
  units: Units | undefined,
): Finding[] {
  const findings: Finding[] = [];
  for (const trouble of files.troubles) findings.push({ level: "bad", text: trouble });
  const now = endpointOf(files);
  const version = minor === undefined ? "" : ` (1.${minor})`;
  if (now !== undefined) {
    const text = `the kubelet${version} has its runtime ${now.value} from ${now.from}`;
    findings.push({ level: "ok", text });
  }
  const isHere = files.running !== undefined || hasUnit(units);
  const { edits, obstacles } = planEndpoint(files, endpoint, minor);
  for (const text of obstacles) findings.push({ level: isHere ? "bad" : "warn", text });
  // Found out at the edit itself, it would leave the node without a runtime.
  for (const { path } of edits) {
    const why = writeTrouble(path);
    if (why !== undefined)
      findings.push({ level: "bad", text: `${path} cannot be written: ${why}` });
  }
  return findings;
}

const hasUnit = (units: Units | undefined): boolean =>
  (units?.get("kubelet.service")?.load ?? "not-found") !== "not-found";

/** Every file that names the endpoint, for now and for kubeadm's next upgrade. */
export function kubeletSteps(
  { files, minor }: FoundKubelet,
  endpoint: string,
  units: Units | undefined,
): Step[] {
  const { edits, obstacles } = planEndpoint(files, endpoint, minor);
  const steps: Step[] = edits.map((edit) => ({
    title: `${edit.isNew ? "write" : "edit"} ${edit.path}: endpoint ${endpoint}${removedText(edit)}`,
    apply: async () => {
      const copy = await writeFlags(edit.path, { before: edit.text, after: edit.after });
      return copy === undefined ? "written" : `what it was before is in ${copy}`;
    },
  }));
  // An earlier run may have ended between its edit and this.
  const isStale = units?.get("kubelet.service")?.needsReload === true;
  if (units !== undefined && (isStale || edits.some(({ isUnit }) => isUnit))) {
    steps.push({
      title: "let systemd read the unit again",
      commands: ["systemctl daemon-reload"],
      apply: async () => {
        await runSystemctl(["daemon-reload"]);
        return "ok";
      },
    });
  }
  const stale = staleEndpoint(files, endpoint);
  if (stale !== undefined && edits.length + obstacles.length === 0) {
    const again = { title: `the kubelet still runs with ${stale}: it has to be started again` };
    // What is done here is done while it rests: stopping and starting are steps of their own.
    const isOurs = hasUnit(units);
    steps.push(isOurs ? { ...again, apply: () => Promise.resolve("by its start") } : again);
  }
  if (obstacles.length > 0) {
    steps.push({
      title:
        "point the kubelet there (its flags file, or containerRuntimeEndpoint in its configuration)",
      commands: [`--container-runtime-endpoint=${endpoint}`],
    });
  }
  return steps.length > 0 ? steps : [{ title: "the kubelet's files need no change" }];
}

const removedText = ({ removed }: EndpointEdit): string =>
  removed.length === 0 ? "" : `, without ${removed.join(", ")}`;

/** kubeadm before 1.34 has the node's socket from an annotation; newer ones take it off the node. */
export const tellKubeadm = ({ files, minor }: FoundKubelet, endpoint: string): Step[] =>
  readsAnnotation(files, minor)
    ? [
        {
          title: "on a kubeadm cluster, tell kubeadm",
          commands: [annotateLine(endpoint)],
        },
      ]
    : [];

export const annotateLine = (endpoint: string): string =>
  `kubectl annotate node NODE --overwrite ${annotation}=${endpoint}`;
