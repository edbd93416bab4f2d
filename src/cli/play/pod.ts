import { createHash } from "node:crypto";
import { NamespaceMode } from "../../gen/runtime/v1/api_pb.js";
import type { Configs } from "./configs.ts";
import { readContainer } from "./container.ts";
import type { PodFacts } from "./container.ts";
import type { Fields } from "./fields.ts";
import { podKeys, serversMetadata } from "./other-keys.ts";
import type { PlannedPod, RestartPolicy, SandboxInit } from "./plan.ts";
import { podSecurity } from "./security.ts";
import { readVolumes } from "./volumes.ts";

/** Where played pods keep what belongs to them. */
export interface PlayFolders {
  /** Volumes and /etc/hosts, a folder for each pod. */
  volumes: string;
  /** Not in /var/log/pods, where a kubelet removes what it does not know. */
  logs: string;
}

export const defaultFolders: PlayFolders = {
  volumes: "/var/lib/dockline-play",
  logs: "/var/log/dockline-play",
};

/** Annotation of the sandbox, with the fingerprint of the manifest that it was played from. */
export const fingerprintKey = "dockline.io/play-manifest";

/** A pod in a document: its own, or the template of a workload. */
export interface PodSource {
  name: string;
  namespace: string;
  metadata: Fields | undefined;
  spec: Fields;
  /** Of what the workload allows, the default first. */
  restartPolicies: readonly RestartPolicy[];
}

export function readPod(source: PodSource, configs: Configs, places: PlayFolders): PlannedPod {
  const { name, namespace, metadata, spec } = source;
  const labels = metadata?.textMap("labels") ?? {};
  const annotations = metadata?.textMap("annotations") ?? {};
  metadata?.ignore("name", "namespace", ...serversMetadata);
  metadata?.finish();
  // Never the manifest's own, which may be that of a pod of the kubelet's.
  const uid = uidOf(namespace, name);
  const podLabels = {
    "io.kubernetes.pod.name": name,
    "io.kubernetes.pod.namespace": namespace,
    "io.kubernetes.pod.uid": uid,
  };
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
  const folder = `${places.volumes}/${uid}`;
  const self = { name, namespace, uid, labels, annotations, configs };
  const volumes = readVolumes(spec.list("volumes"), self, folder);
  const aliases = spec.list("hostAliases").map((alias) => {
    const found = { ip: alias.text("ip"), names: alias.texts("hostnames") };
    alias.finish();
    return found;
  });
  const hostname = spec.text("hostname", name.slice(0, 63).replace(/[-.]+$/, ""));
  const [policy = "Always"] = source.restartPolicies;
  const pod: PodFacts = {
    ...self,
    podLabels,
    volumes: volumes.byName,
    // With a name of its own: a volume's has no dot.
    hostsFile: aliases.length === 0 ? undefined : `${folder}/etc.hosts`,
    namespaceOptions,
    security,
    restartPolicy: spec.choice("restartPolicy", source.restartPolicies, policy),
  };
  const containers = [
    ...spec.list("initContainers").map((fields) => readContainer(fields, pod, true)),
    ...spec.list("containers").map((fields) => readContainer(fields, pod, false)),
  ];
  if (!containers.some((container) => container.role === "main")) {
    spec.problem("containers", "is empty");
  }
  const names = containers.map((container) => container.name);
  const twice = names.find((container, at) => names.indexOf(container) !== at);
  if (twice !== undefined) spec.problem("containers", `two are called ${twice}`);
  const dns = spec.mapping("dnsConfig");
  spec.choice(
    "dnsPolicy",
    ["Default", "None", "ClusterFirst", "ClusterFirstWithHostNet"],
    "Default",
  );
  const graceSeconds = spec.count("terminationGracePeriodSeconds", 30);
  const runtimeHandler = spec.text("runtimeClassName");
  const dnsConfig = dns === undefined ? undefined : readDns(dns);
  spec.finish(podKeys);

  const logDirectory = `${places.logs}/${namespace}_${name}`;
  const fingerprint = fingerprintOf([metadata?.value, spec.value, configs.takeUsed()]);
  return {
    name,
    namespace,
    uid,
    fingerprint,
    containers,
    folders: volumes.folders,
    hostPaths: volumes.hostPaths,
    fsGroup: security.fsGroup,
    hosts: pod.hostsFile === undefined ? undefined : { path: pod.hostsFile, hostname, aliases },
    hostNetwork,
    graceSeconds,
    logDirectory,
    runtimeHandler,
    sandbox: {
      metadata: { name, namespace, uid, attempt: 0 },
      hostname: hostNetwork ? "" : hostname,
      logDirectory,
      labels: { ...labels, ...podLabels },
      annotations: { ...annotations, [fingerprintKey]: fingerprint },
      ...(dnsConfig === undefined ? {} : { dnsConfig }),
      portMappings: containers.flatMap((container) => container.hostPorts),
      linux: {
        securityContext: { namespaceOptions, ...security.sandbox },
        sysctls: security.sysctls,
      },
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

/** A uuid that follows from the pod's name, so that a second run and `--down` find the pod again. */
function uidOf(namespace: string, name: string): string {
  const hex = createHash("sha256").update(`${namespace}/${name}`).digest("hex");
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...parts, hex.slice(20, 32)].join("-");
}

/** The same for the same values, in whatever order the keys of mappings are written. */
function fingerprintOf(value: unknown): string {
  const text = JSON.stringify(value, (_, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
