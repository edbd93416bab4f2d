import { createHash } from "node:crypto";
import { parseAllDocuments } from "yaml";
import { NamespaceMode, Protocol } from "../gen/runtime/v1/api_pb.js";
import { Fields, ManifestError } from "./fields.ts";
import { readContainer } from "./manifest-container.ts";
import type { PlannedPod, SandboxInit } from "./manifest-plan.ts";
import { podSecurity } from "./manifest-security.ts";

/** Folder of emptyDir volumes of played pods. */
export const volumesRoot = "/var/lib/dockline-play";

/**
 * Reads one Kubernetes Pod manifest. Everything in it is either done or named: throws ManifestError
 * with all problems, a line each. The uid follows from name and namespace, so that `--down` finds
 * the pod again.
 */
export function readManifest(text: string): PlannedPod {
  const documents = parseAllDocuments(text).filter((document) => document.contents !== null);
  const broken = documents.flatMap((document) => document.errors);
  if (broken[0] !== undefined) throw new ManifestError(broken[0].message);
  const [document] = documents;
  if (document === undefined || documents.length !== 1) {
    throw new ManifestError(`want one Pod, found ${documents.length} documents`);
  }
  const problems: string[] = [];
  const root = new Fields(document.toJS() as unknown, "", problems);
  if (root.text("kind") !== "Pod" || root.text("apiVersion") !== "v1") {
    throw new ManifestError("want kind: Pod, apiVersion: v1");
  }
  const planned = readPod(root, problems);
  if (problems.length > 0) throw new ManifestError(problems.join("\n"));
  return planned;
}

function readPod(root: Fields, problems: string[]): PlannedPod {
  const metadata = root.mapping("metadata") ?? new Fields({}, "metadata", problems);
  const spec = root.mapping("spec") ?? new Fields({}, "spec", problems);
  root.ignore("status");
  root.finish();
  const name = metadata.text("name");
  if (name === "") metadata.problem("name", "is missing");
  const namespace = metadata.text("namespace", "default");
  const uid = metadata.text("uid", uidOf(namespace, name));
  const labels = metadata.textMap("labels");
  const annotations = metadata.textMap("annotations");
  metadata.ignore("creationTimestamp");
  metadata.finish();

  const hostNetwork = spec.flag("hostNetwork");
  const shared = spec.flag("shareProcessNamespace");
  const security = podSecurity(spec.mapping("securityContext"));
  const namespaceOptions = {
    network: hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: spec.flag("hostPID")
      ? NamespaceMode.NODE
      : shared
        ? NamespaceMode.POD
        : NamespaceMode.CONTAINER,
    ipc: spec.flag("hostIPC") ? NamespaceMode.NODE : NamespaceMode.POD,
  };
  const volumes = readVolumes(spec.list("volumes"), uid);
  const pod = {
    name,
    namespace,
    uid,
    podLabels: {
      "io.kubernetes.pod.name": name,
      "io.kubernetes.pod.namespace": namespace,
      "io.kubernetes.pod.uid": uid,
    },
    volumes: volumes.paths,
    namespaceOptions,
    security,
  };
  const containers = [
    ...spec.list("initContainers").map((fields) => readContainer(fields, pod, true)),
    ...spec.list("containers").map((fields) => readContainer(fields, pod, false)),
  ];
  if (!containers.some((container) => container.role === "main")) {
    spec.problem("containers", "is empty");
  }
  // The kubelet's business, without meaning for one pod that is played once.
  spec.ignore("restartPolicy", "terminationGracePeriodSeconds", "nodeName", "schedulerName");
  spec.ignore("enableServiceLinks", "automountServiceAccountToken", "priorityClassName");
  const dns = spec.mapping("dnsConfig");
  const dnsPolicy = spec.text("dnsPolicy", "Default");
  if (!["Default", "None", "ClusterFirst", "ClusterFirstWithHostNet"].includes(dnsPolicy)) {
    spec.problem("dnsPolicy", `${dnsPolicy} is not known`);
  }
  const runtimeHandler = spec.text("runtimeClassName");
  const hostname = spec.text("hostname", name);
  const dnsConfig = dns === undefined ? undefined : readDns(dns);
  spec.finish();

  const logDirectory = `/var/log/pods/${namespace}_${name}_${uid}`;
  return {
    name,
    namespace,
    uid,
    containers,
    emptyDirs: volumes.emptyDirs,
    hostFolders: volumes.hostFolders,
    logDirectory,
    runtimeHandler,
    sandbox: {
      metadata: { name, namespace, uid, attempt: 0 },
      hostname: hostNetwork ? "" : hostname,
      logDirectory,
      labels: { ...labels, ...pod.podLabels },
      annotations,
      ...(dnsConfig === undefined ? {} : { dnsConfig }),
      portMappings: containers.flatMap((container) =>
        container.hostPorts.map((port) => ({ ...port, protocol: Protocol.TCP })),
      ),
      linux: { securityContext: { namespaceOptions, ...security.sandbox } },
    },
  };
}

function readDns(dns: Fields): SandboxInit["dnsConfig"] {
  const options = dns.list("options").map((option) => {
    const [optionName, value] = [option.text("name"), option.text("value")];
    option.finish();
    return value === "" ? optionName : `${optionName}:${value}`;
  });
  const config = { servers: dns.texts("nameservers"), searches: dns.texts("searches"), options };
  dns.finish();
  return config;
}

function readVolumes(
  list: Fields[],
  uid: string,
): { paths: Map<string, string>; emptyDirs: string[]; hostFolders: string[] } {
  const paths = new Map<string, string>();
  const emptyDirs: string[] = [];
  const hostFolders: string[] = [];
  for (const volume of list) {
    const name = volume.text("name");
    if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) volume.problem("name", "want a-z, 0-9 and -");
    const hostPath = volume.mapping("hostPath");
    if (volume.has("emptyDir")) {
      const emptyDir = volume.mapping("emptyDir");
      emptyDir?.ignore("sizeLimit");
      emptyDir?.finish();
      paths.set(name, `${volumesRoot}/${uid}/${name}`);
      emptyDirs.push(`${volumesRoot}/${uid}/${name}`);
    } else if (hostPath !== undefined) {
      const path = hostPath.text("path");
      if (!path.startsWith("/")) hostPath.problem("path", "want an absolute path");
      if (hostPath.text("type") === "DirectoryOrCreate") hostFolders.push(path);
      hostPath.finish();
      paths.set(name, path);
    } else volume.problem("name", `${name}: only emptyDir and hostPath volumes are supported`);
    volume.finish();
  }
  return { paths, emptyDirs, hostFolders };
}

/** A uuid that follows from the pod's name. */
function uidOf(namespace: string, name: string): string {
  const hex = createHash("sha256").update(`${namespace}/${name}`).digest("hex");
  return [8, 4, 4, 4, 12]
    .reduce<{ parts: string[]; at: number }>(
      ({ parts, at }, length) => ({
        parts: [...parts, hex.slice(at, at + length)],
        at: at + length,
      }),
      { parts: [], at: 0 },
    )
    .parts.join("-");
}
