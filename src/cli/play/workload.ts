import type { Fields } from "./fields.ts";
import { serversMetadata, workloadKeys } from "./other-keys.ts";
import type { PodSource } from "./pod.ts";

export const workloadKinds = ["Pod", "Deployment", "DaemonSet", "Job"] as const;
type WorkloadKind = (typeof workloadKinds)[number];

export const apiVersions: Readonly<Record<WorkloadKind, string>> = {
  Pod: "v1",
  Deployment: "apps/v1",
  DaemonSet: "apps/v1",
  Job: "batch/v1",
};

/** The pod of a document. One of a workload is called like it, with "-pod" behind, as with podman. */
export function readWorkload(kind: WorkloadKind, root: Fields): PodSource {
  const metadata = root.mapping("metadata");
  const spec = root.mapping("spec") ?? root;
  if (spec === root) root.problem("spec", "is missing");
  root.ignore("status");
  const name = metadata?.text("name") ?? "";
  const namespace = metadata?.text("namespace", "default") ?? "default";
  for (const [key, text] of [
    ["name", name],
    ["namespace", namespace],
  ] as const) {
    // Names become parts of paths.
    if (/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(text) && text.length <= 253) continue;
    const why = text === "" ? "is missing" : "want a-z, 0-9, - and .";
    (metadata ?? root).problem(metadata === undefined ? "metadata" : key, why);
  }
  root.finish();
  if (kind === "Pod") {
    return {
      ...{ name, namespace, metadata, spec },
      restartPolicies: ["Always", "OnFailure", "Never"],
    };
  }
  metadata?.ignore("labels", "annotations", ...serversMetadata);
  metadata?.finish();
  limitToOne(kind, spec);
  const template = spec.mapping("template");
  if (template === undefined) spec.problem("template", "is missing");
  const podMetadata = template?.mapping("metadata");
  const podSpec = template?.mapping("spec");
  if (template !== undefined && podSpec === undefined) template.problem("spec", "is missing");
  template?.finish();
  spec.finish(workloadKeys[kind]);
  return {
    name: `${name}-pod`,
    namespace,
    metadata: podMetadata,
    spec: podSpec ?? spec,
    restartPolicies: kind === "Job" ? ["Never", "OnFailure"] : ["Always"],
  };
}

/** Says that there will be one pod where more are asked for. */
function limitToOne(kind: WorkloadKind, spec: Fields): void {
  const keys =
    kind === "Deployment" ? ["replicas"] : kind === "Job" ? ["completions", "parallelism"] : [];
  for (const key of keys) {
    const wanted = spec.count(key, 1);
    if (wanted !== 1) spec.passOver(key, `one pod is run, not ${wanted}`);
  }
}
