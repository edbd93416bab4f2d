import type { CallTarget } from "../sys/call-trace.ts";

/** Longer ones are cut: references and names come from outside. */
const maxText = 256;

interface Named {
  metadata?: { name?: string; namespace?: string };
}

/** Whom a request is about, by its own words: never labels, annotations, commands or credentials. */
export function targetOf(request: object): CallTarget {
  const fields = request as Record<string, unknown>;
  const config = fields["config"] as Named | undefined;
  // CreateContainer and PullImage carry their pod's configuration beside their own subject.
  const sandbox = fields["sandboxConfig"] as Named | undefined;
  const ofContainer = config?.metadata !== undefined && config.metadata.namespace === undefined;
  const pod = ofContainer ? sandbox?.metadata : (config?.metadata ?? sandbox?.metadata);
  const target: CallTarget = {};
  put(target, "podName", pod?.name);
  put(target, "namespace", pod?.namespace);
  put(target, "podId", fields["podSandboxId"]);
  if (ofContainer) put(target, "containerName", config.metadata?.name);
  put(target, "containerId", fields["containerId"]);
  put(target, "image", plainReference((fields["image"] as { image?: string } | undefined)?.image));
  return target;
}

/** Ids that only the answer tells: RunPodSandbox's and CreateContainer's. */
export function addAnswer(target: CallTarget, answer: unknown): void {
  if (typeof answer !== "object" || answer === null) return;
  const fields = answer as Record<string, unknown>;
  if (target.podId === undefined) put(target, "podId", fields["podSandboxId"]);
  if (target.containerId === undefined) put(target, "containerId", fields["containerId"]);
}

/** A reference without the user information that somebody pasted into it (T17). */
export function plainReference(reference: string | undefined): string {
  return (reference ?? "")
    .replace(/^(?:[a-z]+:\/\/)?[^/@]*@(?!sha(?:256|512):)/, "")
    .slice(0, maxText);
}

function put(target: CallTarget, key: keyof CallTarget, value: unknown): void {
  const text = textOf(value);
  if (text !== undefined) target[key] = text;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.slice(0, maxText) : undefined;
}
