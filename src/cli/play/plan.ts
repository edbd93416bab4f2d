import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import type {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
  Protocol,
} from "../../gen/runtime/v1/api_pb.js";

/** Fields to create a message from, without the message itself. */
type InitOf<S extends typeof PodSandboxConfigSchema | typeof ContainerConfigSchema> = Exclude<
  MessageInitShape<S>,
  Message
>;
export type SandboxInit = InitOf<typeof PodSandboxConfigSchema>;
export type ContainerInit = InitOf<typeof ContainerConfigSchema>;

export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** One variable of a container, known at once or when the pod has its addresses. */
export type EnvironmentEntry =
  /** `expand`: $(NAME) in it stands for an earlier variable. */
  { name: string; value: string; expand: boolean } | { name: string; address: "podIP" | "podIPs" };

export type ProbeAction =
  | { kind: "exec"; command: string[] }
  | {
      kind: "http";
      scheme: "HTTP" | "HTTPS";
      /** Empty: the pod's address. */
      host: string;
      port: number;
      path: string;
      headers: Record<string, string>;
    }
  | { kind: "tcp"; host: string; port: number };

/** What is done when a container has started, or before it is stopped. */
export type Hook = ProbeAction | { kind: "sleep"; seconds: number };

export interface Hooks {
  postStart?: Hook;
  preStop?: Hook;
}

export interface Probe {
  action: ProbeAction;
  initialDelayMs: number;
  periodMs: number;
  timeoutMs: number;
  successThreshold: number;
  failureThreshold: number;
  /** Seconds that a container has to end when this probe has failed; the pod's otherwise. */
  graceSeconds: number | undefined;
}

export interface Probes {
  startup?: Probe;
  liveness?: Probe;
  readiness?: Probe;
}

export interface PlannedPort {
  protocol: Protocol;
  containerPort: number;
  hostPort: number;
  hostIp: string;
}

export interface PlannedContainer {
  name: string;
  image: string;
  pull: "Always" | "IfNotPresent" | "Never";
  /** init: runs to its end before the next one starts; sidecar: an init container that stays. */
  role: "init" | "sidecar" | "main";
  restartPolicy: RestartPolicy;
  /** Without variables, which may have to wait for the pod's address. */
  config: ContainerInit;
  environment: EnvironmentEntry[];
  probes: Probes;
  hooks: Hooks;
  /** It is not started if it would run as root. */
  nonRoot: boolean;
  hostPorts: PlannedPort[];
}

/** A file of a volume made of ConfigMaps, Secrets or the pod's own fields. */
export interface PlannedFile {
  /** Relative to the volume. */
  path: string;
  content: Uint8Array;
  mode: number;
}

/** A folder that is made for the pod and removed with it. */
export interface PlannedFolder {
  path: string;
  /** Empty for emptyDir. */
  files: PlannedFile[];
  /** Owner and mode are those of emptyDir: everybody may write. */
  writable: boolean;
}

/** A path of the host's, and what has to be there. */
export interface PlannedHostPath {
  path: string;
  type: HostPathType;
}
export const hostPathTypes = [
  "",
  "DirectoryOrCreate",
  "Directory",
  "FileOrCreate",
  "File",
  "Socket",
  "CharDevice",
  "BlockDevice",
] as const;
export type HostPathType = (typeof hostPathTypes)[number];

/** What the manifest of a pod, or of a workload that has a template of one, becomes. */
export interface PlannedPod {
  name: string;
  namespace: string;
  uid: string;
  /** Of all that the manifest says about this pod: another one is another pod. */
  fingerprint: string;
  sandbox: SandboxInit;
  containers: PlannedContainer[];
  folders: PlannedFolder[];
  hostPaths: PlannedHostPath[];
  /** Group of the folders' files. */
  fsGroup: number | undefined;
  /** /etc/hosts of the containers, undefined where the runtime's own will do. */
  hosts: { path: string; hostname: string; aliases: { ip: string; names: string[] }[] } | undefined;
  hostNetwork: boolean;
  graceSeconds: number;
  logDirectory: string;
  runtimeHandler: string;
}
