import { hostname } from "node:os";
import { referredData } from "./configs.ts";
import type { Configs } from "./configs.ts";
import type { Fields } from "./fields.ts";
import type { EnvironmentEntry } from "./plan.ts";

/** What a pod says of itself, to its variables and to files of downwardAPI volumes. */
export interface PodSelf {
  name: string;
  namespace: string;
  uid: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  configs: Configs;
}

const name = /^[^=\0]+$/;

/** `envFrom` and `env` of a container, in the order in which they count. */
export function readEnvironment(container: Fields, pod: PodSelf): EnvironmentEntry[] {
  return [
    ...container.list("envFrom").flatMap((source) => readSource(source, pod)),
    ...container.list("env").flatMap((entry) => readEntry(entry, pod) ?? []),
  ];
}

function readSource(source: Fields, pod: PodSelf): EnvironmentEntry[] {
  const prefix = source.text("prefix");
  const entries: EnvironmentEntry[] = [];
  for (const [key, kind] of [
    ["configMapRef", "ConfigMap"],
    ["secretRef", "Secret"],
  ] as const) {
    const reference = source.mapping(key);
    if (reference === undefined) continue;
    const data = referredData(reference, kind, pod);
    reference.finish();
    for (const [item, value] of data ?? []) {
      entries.push({ name: `${prefix}${item}`, value: textOf(value), expand: false });
    }
  }
  source.finish();
  return entries;
}

function readEntry(entry: Fields, pod: PodSelf): EnvironmentEntry | undefined {
  const variable = entry.text("name");
  if (!name.test(variable)) entry.problem("name", "is missing, or has a =");
  const from = entry.mapping("valueFrom");
  const value = entry.text("value");
  entry.finish();
  if (from === undefined) return { name: variable, value, expand: true };
  const result = readValueFrom(from, variable, pod);
  from.finish({ unsupported: ["fileKeyRef", "resourceFieldRef"] });
  return result;
}

function readValueFrom(from: Fields, variable: string, pod: PodSelf): EnvironmentEntry | undefined {
  for (const [key, kind] of [
    ["configMapKeyRef", "ConfigMap"],
    ["secretKeyRef", "Secret"],
  ] as const) {
    const reference = from.mapping(key);
    if (reference === undefined) continue;
    const data = referredData(reference, kind, pod);
    const item = reference.text("key");
    const optional = reference.flag("optional");
    reference.finish();
    const value = data?.get(item);
    if (value !== undefined) return { name: variable, value: textOf(value), expand: false };
    if (data !== undefined && !optional) {
      reference.problem("key", `the ${kind} has no key ${JSON.stringify(item)}`);
    }
    return undefined;
  }
  const field = from.mapping("fieldRef");
  if (field === undefined) return undefined;
  const path = field.text("fieldPath");
  field.ignore("apiVersion");
  field.finish();
  if (path === "status.podIP") return { name: variable, address: "podIP" };
  if (path === "status.podIPs") return { name: variable, address: "podIPs" };
  const value = path === "spec.nodeName" ? hostname() : podField(path, pod);
  if (value === undefined) field.problem("fieldPath", `${path} is not known to dockline play`);
  return { name: variable, value: value ?? "", expand: false };
}

/** The text of a field of the pod's own; undefined for one that play does not know. */
export function podField(path: string, pod: PodSelf): string | undefined {
  const [, kind, key] = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path) ?? [];
  if (kind === "labels") return pod.labels[key ?? ""] ?? "";
  if (kind === "annotations") return pod.annotations[key ?? ""] ?? "";
  const lines = (map: Record<string, string>): string =>
    Object.entries(map)
      .map(([label, value]) => `${label}=${JSON.stringify(value)}\n`)
      .join("");
  switch (path) {
    case "metadata.name":
      return pod.name;
    case "metadata.namespace":
      return pod.namespace;
    case "metadata.uid":
      return pod.uid;
    case "metadata.labels":
      return lines(pod.labels);
    case "metadata.annotations":
      return lines(pod.annotations);
    case "spec.serviceAccountName":
      return "default";
    default:
      return undefined;
  }
}

/** The variables of a container whose pod has these addresses; of one name the last one counts. */
export function resolveEnvironment(
  entries: readonly EnvironmentEntry[],
  addresses: readonly string[],
): Map<string, string> {
  const variables = new Map<string, string>();
  for (const entry of entries) {
    if ("address" in entry) {
      const found = entry.address === "podIP" ? addresses.slice(0, 1) : addresses;
      variables.set(entry.name, found.join(","));
    } else {
      variables.set(entry.name, entry.expand ? expand(entry.value, variables) : entry.value);
    }
  }
  return variables;
}

/** $(NAME) in a text; what is not known stays as it is, and $$ stands for one $. */
export function expand(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\$|\$\(([^()]*)\)/g, (whole, variable?: string) =>
    variable === undefined ? "$" : (variables.get(variable) ?? whole),
  );
}

const textOf = (value: Uint8Array): string => Buffer.from(value).toString("utf8");
