import type { ContainerConfig, PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import { copyRecord, emptyRecord, isObject } from "./field-checks.ts";
import { containerLogPath } from "./log-path.ts";
import { parseName, type ContainerMetadataFields, type SandboxMetadata } from "./names.ts";

/** Docker label that Dockline alone reads back; under `annotation.` so that cri-dockerd shows it as one. */
export const AUTHORITATIVE_LABEL = "annotation.io.dockline/cri";
export const TYPE_LABEL = "io.kubernetes.docker.type";
export const CONTAINER_NAME_LABEL = "io.kubernetes.container.name";
export const SANDBOX_ID_LABEL = "io.kubernetes.sandbox.id";
export const LOG_PATH_LABEL = "io.kubernetes.container.logpath";

const ANNOTATION_PREFIX = "annotation.";
const VERSION = 1;

/** Members of the authoritative label beyond labels and annotations. */
export interface IdentityExtra {
  /** See stored-spec.ts. */
  readonly spec?: string;
  /** Hash of the request (config-hash.ts), to tell a retry from a conflict. */
  readonly hash?: string;
  /** Made to run under dockline-oci: no start without its edits. */
  readonly edited?: true;
  /** NRI plugins are asked before it is shown: without a file of what they said it is unfinished. */
  readonly nri?: true;
  /** Ids of images whose copies are mounted, on engines without image mounts. */
  readonly imageVolumes?: readonly string[];
}

interface IdentityFields {
  /** Docker's name of the container, without the slash. */
  readonly name: string;
  /** Null-prototype, as the generated messages hold maps: "__proto__" is a key like any other. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly runtimeHandler: string;
  /** Made by cri-dockerd or dockershim. */
  readonly legacy: boolean;
  readonly extra: IdentityExtra;
}

export interface SandboxIdentity extends IdentityFields {
  readonly kind: "podsandbox";
  readonly metadata: SandboxMetadata;
}

export interface ContainerIdentity extends IdentityFields {
  readonly kind: "container";
  readonly metadata: ContainerMetadataFields;
  /** Its attempt is unknown to a container; 0. */
  readonly podSandboxMetadata: SandboxMetadata;
  readonly podSandboxId: string;
  /** Absolute, or "" when no log was asked for. */
  readonly logPath: string;
}

/** What a Docker container is in the CRI's terms. */
export type CriIdentity = SandboxIdentity | ContainerIdentity;

/** All labels of a pause container: dockershim's, for others, and the authoritative one. */
export function toSandboxLabels(
  config: PodSandboxConfig,
  runtimeHandler: string,
  name: string,
  extra: IdentityExtra = {},
): Record<string, string> {
  const labels = shimLabels(config.labels, config.annotations);
  labels[CONTAINER_NAME_LABEL] = "POD";
  labels[TYPE_LABEL] = "podsandbox";
  labels[AUTHORITATIVE_LABEL] = authoritative({
    name,
    kind: "podsandbox",
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler,
    logPath: "",
    ...extra,
  });
  return labels;
}

/** All labels of a workload container. Throws InvalidArgument for a log path that leaves its directory. */
export function toContainerLabels(
  config: ContainerConfig,
  sandboxConfig: Pick<PodSandboxConfig, "logDirectory">,
  sandboxId: string,
  name: string,
  runtimeHandler: string,
  extra: IdentityExtra = {},
): Record<string, string> {
  const logPath = containerLogPath(sandboxConfig.logDirectory, config.logPath);
  const labels = shimLabels(config.labels, config.annotations);
  labels[TYPE_LABEL] = "container";
  labels[SANDBOX_ID_LABEL] = sandboxId;
  labels[LOG_PATH_LABEL] = logPath;
  labels[AUTHORITATIVE_LABEL] = authoritative({
    name,
    kind: "container",
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler,
    logPath,
    podSandboxId: sandboxId,
    ...extra,
  });
  return labels;
}

/** A Docker container as any of its views shows it. */
export interface LabelledContainer {
  /** With or without Docker's slash. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>> | null;
  /**
   * The labels of the container's image; wanted for legacy objects only (needsImageLabels). Docker
   * merges them into the container's, where nothing else tells them from the kubelet's. Undefined
   * when the image is gone: then nothing can be subtracted.
   */
  readonly imageLabels?: Readonly<Record<string, string>> | null | undefined;
}

/**
 * Whose a container is. Ours when the authoritative label parses, has a known version and names
 * this very container (an image can carry labels, but not know a name yet to be given); legacy when
 * the name follows the `k8s_` grammar and dockershim's type label agrees; else undefined, and the
 * container must not be listed or touched.
 */
export function readIdentity(container: LabelledContainer): CriIdentity | undefined {
  const name = plainName(container.name);
  const parsed = parseName(name);
  const labels = container.labels ?? {};
  if (parsed === undefined) return undefined;
  const ours = readAuthoritative(labels, name);
  const written = ours !== undefined && ours.kind === parsed.kind ? ours : undefined;
  if (written === undefined && own(labels, TYPE_LABEL) !== parsed.kind) return undefined;
  const { podSandboxId, logPath, ...fields } = written ?? {
    ...readShimLabels(labels, container.imageLabels ?? {}, parsed.kind),
    podSandboxId: own(labels, SANDBOX_ID_LABEL) ?? "",
    logPath: own(labels, LOG_PATH_LABEL) ?? "",
    runtimeHandler: "",
    extra: {},
  };
  const identity = { ...fields, name, legacy: written === undefined };
  if (parsed.kind === "podsandbox") {
    return { ...identity, kind: "podsandbox", metadata: parsed.metadata };
  }
  return {
    ...identity,
    kind: "container",
    metadata: parsed.metadata,
    podSandboxMetadata: parsed.podSandboxMetadata,
    podSandboxId,
    logPath,
  };
}

/** True for an object of cri-dockerd or dockershim: readIdentity needs its image's labels. */
export function needsImageLabels(container: LabelledContainer): boolean {
  return readIdentity(container)?.legacy === true;
}

function shimLabels(
  labels: Readonly<Record<string, string>>,
  annotations: Readonly<Record<string, string>>,
): Record<string, string> {
  const merged = copyRecord(labels);
  for (const key of Object.keys(annotations)) {
    merged[ANNOTATION_PREFIX + key] = annotations[key] ?? "";
  }
  return merged;
}

function readShimLabels(
  labels: Readonly<Record<string, string>>,
  imageLabels: Readonly<Record<string, string>>,
  kind: CriIdentity["kind"],
): { labels: Record<string, string>; annotations: Record<string, string> } {
  const criLabels = emptyRecord();
  const annotations = emptyRecord();
  for (const key of Object.keys(labels)) {
    const value = labels[key] ?? "";
    const reserved =
      key === TYPE_LABEL ||
      key === SANDBOX_ID_LABEL ||
      key === LOG_PATH_LABEL ||
      key === AUTHORITATIVE_LABEL ||
      (key === CONTAINER_NAME_LABEL && kind === "podsandbox");
    if (reserved || own(imageLabels, key) === value) continue;
    if (key.startsWith(ANNOTATION_PREFIX)) annotations[key.slice(ANNOTATION_PREFIX.length)] = value;
    else criLabels[key] = value;
  }
  return { labels: criLabels, annotations };
}

interface Authoritative {
  kind: CriIdentity["kind"];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  runtimeHandler: string;
  logPath: string;
  podSandboxId: string;
  extra: IdentityExtra;
}

function authoritative(members: object): string {
  return JSON.stringify({ v: VERSION, ...members });
}

function readAuthoritative(
  labels: Readonly<Record<string, string>>,
  name: string,
): Authoritative | undefined {
  const text = own(labels, AUTHORITATIVE_LABEL);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value["v"] !== VERSION || value["name"] !== name) return undefined;
  const kind = value["kind"];
  const criLabels = stringRecord(value["labels"]);
  const annotations = stringRecord(value["annotations"]);
  if (kind !== "podsandbox" && kind !== "container") return undefined;
  if (criLabels === undefined || annotations === undefined) return undefined;
  const { spec, hash, edited, nri } = value;
  const imageVolumes = value["imageVolumes"];
  return {
    kind,
    labels: criLabels,
    annotations,
    runtimeHandler: stringOrEmpty(value["runtimeHandler"]),
    logPath: stringOrEmpty(value["logPath"]),
    podSandboxId: stringOrEmpty(value["podSandboxId"]),
    extra: {
      ...(typeof spec === "string" ? { spec } : {}),
      ...(typeof hash === "string" ? { hash } : {}),
      ...(edited === true ? { edited } : {}),
      ...(nri === true ? { nri } : {}),
      ...(Array.isArray(imageVolumes) ? { imageVolumes: imageVolumes.map(String) } : {}),
    },
  };
}

function stringRecord(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  const record = emptyRecord();
  for (const key of Object.keys(value)) {
    const member = value[key];
    if (typeof member !== "string") return undefined;
    record[key] = member;
  }
  return record;
}

function stringOrEmpty(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function own(record: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function plainName(name: string): string {
  return name.startsWith("/") ? name.slice(1) : name;
}
