import { join } from "node:path";

import { nriOptions } from "./nri-options.ts";
import type { Option, OptionType } from "./option.ts";

export type { Option, OptionType } from "./option.ts";
export { acceptedFlags, refusedFlags } from "./foreign-flags.ts";

/**
 * THE table of options. The key in kebab case is the flag (`--docker-endpoint`), in upper snake case
 * behind DOCKLINE_ the environment variable, and as it stands the key of the configuration file.
 * Help, validation and the reference page are printed from it. Names that cri-dockerd has are kept,
 * so that its unit file can be pointed here.
 */
export const options = {
  containerRuntimeEndpoint: {
    type: "string",
    default: "unix:///run/dockline/dockline.sock",
    help: "where to serve the CRI: unix:///path, or fd:// for a socket passed by systemd",
    group: "endpoints",
  },
  dockerEndpoint: {
    type: "string",
    default: "unix:///var/run/docker.sock",
    help: "Docker Engine's socket",
    group: "endpoints",
  },
  facadeEndpoint: {
    type: "string",
    default: "auto",
    help: "socket for the --containerd flag of kubelets up to 1.36 (series with labels): unix:///path; auto: containerd.sock in --run-dir; empty: none",
    group: "endpoints",
  },
  runtimeRequestTimeout: {
    type: "duration",
    default: "2m",
    // What cri-dockerd means by nothing, its own default.
    spellings: { "0": "2m", "0s": "2m" },
    help: "how long one ordinary Docker request may take",
    group: "endpoints",
  },
  stateDir: {
    type: "string",
    default: "/var/lib/dockline",
    help: "directory for sandbox records and log positions; it must survive a reboot",
    group: "node",
  },
  runDir: {
    type: "string",
    default: "/run/dockline",
    help: "directory for state that need not survive a reboot: edits for dockline-oci, effects owed to containers",
    group: "node",
  },
  drainTimeout: {
    type: "duration",
    default: "5s",
    help: "how long running calls may take to end after SIGTERM",
    group: "node",
  },
  shimPerContainer: {
    type: "boolean",
    default: "false",
    help: "give every container its own containerd shim instead of one per pod",
    group: "node",
  },
  absentMountSourcesToReject: {
    type: "list",
    default: "",
    example: "/etc/hostname",
    help: "paths of the node that are not created as directories when a mount names them and they are missing: CreateContainer fails; may be given several times",
    group: "node",
  },
  networkPlugin: {
    type: "string",
    default: "cni",
    choices: ["cni"],
    help: "only cni; kubenet and Docker's own bridge are not offered",
    group: "network",
  },
  podNetns: {
    type: "string",
    default: "own",
    choices: ["own", "docker"],
    help: "who makes the network namespaces of pods: own is Dockline, where dockline-oci is registered",
    group: "network",
  },
  cniConfDir: {
    type: "string",
    default: "/etc/cni/net.d",
    help: "directory of the CNI configuration; the first valid file in lexical order is used",
    group: "network",
  },
  cniBinDir: {
    type: "list",
    default: "/opt/cni/bin,/usr/lib/cni",
    help: "directories that are searched for CNI plugins, in this order",
    group: "network",
  },
  cniCacheDir: {
    type: "string",
    default: "/var/lib/cni/cache",
    help: "where cri-dockerd's CNI results are read for pods taken over",
    group: "network",
  },
  podCidr: {
    type: "string",
    default: "",
    example: "10.244.1.0/24",
    help: "pod address ranges for plugins that ask for ipRanges, until the kubelet's UpdateRuntimeConfig names others, which are kept",
    group: "network",
  },
  podInfraContainerImage: {
    type: "string",
    default: "registry.k8s.io/pause:3.10.2",
    spellings: { "": "registry.k8s.io/pause:3.10.2" },
    help: "image of the pause container; the embedded one is loaded when it cannot be pulled",
    group: "images",
  },
  imagePullProgressDeadline: {
    type: "duration",
    default: "5m",
    help: "cancel a pull that has made no progress for this long while connecting or downloading; 0: never",
    group: "images",
  },
  pinnedImages: {
    type: "list",
    default: "",
    example: "registry.example/base/*",
    help: "references (with * at the end for a prefix) that the kubelet must never collect",
    group: "images",
  },
  pinLocalImages: {
    type: "boolean",
    default: "false",
    help: "pin images that were loaded or built on this node and are not known to exist in any registry; with containerd's image store only from API 1.53 on",
    group: "images",
  },
  registryMirrors: {
    type: "list",
    default: "",
    example: "quay.io=mirror.example:5000/quay",
    help: "registry=mirror pairs, tried in this order before the registry itself: quay.io=mirror.example:5000/quay; configure mirrors of docker.io in daemon.json",
    group: "images",
  },
  registryAuthFile: {
    type: "string",
    default: "",
    example: "/etc/dockline/auth.json",
    help: "file in the form of docker's config.json with credentials for registries, mirrors and the pause image, used when the kubelet supplies none; mode 0600, read at each pull",
    group: "images",
  },
  containerLogFormat: {
    type: "string",
    default: "cri",
    choices: ["cri", "docker-json"],
    help: "cri: CRI log files with rotation; docker-json: dockershim's symlinks to Docker's files",
    group: "logs",
  },
  containerLogMaxSize: {
    type: "string",
    default: "16m",
    help: "size of one file of Docker's own log of a container, the pump's buffer",
    group: "logs",
  },
  containerLogMaxFiles: {
    type: "integer",
    default: "4",
    help: "number of those files",
    group: "logs",
  },
  streamingBindAddr: {
    type: "string",
    default: "127.0.0.1:0",
    // cri-dockerd then listens on every address.
    spellings: { "": "127.0.0.1:0" },
    help: "address of the exec, attach and port-forward server",
    group: "streaming",
  },
  streamingTlsCert: {
    type: "string",
    default: "",
    example: "/etc/dockline/tls.crt",
    help: "certificate file of the streaming server; needed when it is not on loopback",
    group: "streaming",
  },
  streamingTlsKey: {
    type: "string",
    default: "",
    example: "/etc/dockline/tls.key",
    help: "key file that belongs to it",
    group: "streaming",
  },
  streamingInsecure: {
    type: "boolean",
    default: "false",
    help: "allow the streaming server beyond loopback without TLS",
    group: "streaming",
  },
  ...nriOptions,
  metricsBindAddr: {
    type: "string",
    default: "",
    example: "127.0.0.1:9357",
    help: "where to serve /metrics and /healthz: 127.0.0.1:9357 or unix:///path; empty: nowhere; other addresses need the three options below",
    group: "diagnosis",
  },
  metricsTlsCert: {
    type: "string",
    default: "",
    example: "/etc/dockline/metrics.crt",
    help: "certificate file of the metrics server, read again when it has changed",
    group: "diagnosis",
  },
  metricsTlsKey: {
    type: "string",
    default: "",
    example: "/etc/dockline/metrics.key",
    help: "key file of that certificate",
    group: "diagnosis",
  },
  metricsClientCa: {
    type: "string",
    default: "",
    example: "/etc/dockline/clients.crt",
    help: "certificate file of the authority that signs client certificates; the metrics server answers nobody without one",
    group: "diagnosis",
  },
  logLevel: {
    type: "string",
    default: "info",
    choices: ["debug", "info", "warn", "error", "silent"],
    spellings: { trace: "debug", warning: "warn", fatal: "error", panic: "error" },
    help: "what to log on stdout; read again from the file at SIGHUP (systemctl reload dockline)",
    group: "diagnosis",
  },
  logFormat: {
    type: "string",
    default: "json",
    choices: ["json", "text"],
    help: "json: one JSON object per line; text: time, level, message and fields, for people",
    group: "diagnosis",
  },
  traceFile: {
    type: "string",
    default: "",
    example: "/var/log/dockline-trace.jsonl",
    help: "append each CRI call with its Docker requests and times to this file, one JSON line per call",
    group: "diagnosis",
  },
  otelEndpoint: {
    type: "string",
    default: "",
    example: "http://127.0.0.1:4318",
    help: "OpenTelemetry collector for spans, OTLP over HTTP: http://127.0.0.1:4318; empty: none",
    group: "diagnosis",
  },
  otelSamplingPerMillion: {
    type: "integer",
    default: "1000000",
    help: "sampling rate per million for calls that arrive without a trace context; calls with one follow its sampled flag",
    group: "diagnosis",
  },
} as const satisfies Record<string, Option>;

export type OptionKey = keyof typeof options;

type ValueOf<T extends OptionType> = T extends "string"
  ? string
  : T extends "boolean"
    ? boolean
    : T extends "list"
      ? readonly string[]
      : number;

/** The configuration in force: every option of the table, validated. */
export type Config = { readonly [K in OptionKey]: ValueOf<(typeof options)[K]["type"]> };

/** Beside the other sockets unless told otherwise, so that a second instance has its own; "": none. */
export function facadeEndpoint(config: Pick<Config, "facadeEndpoint" | "runDir">): string {
  return config.facadeEndpoint === "auto"
    ? `unix://${join(config.runDir, "containerd.sock")}`
    : config.facadeEndpoint;
}
