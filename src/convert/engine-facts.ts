import type { EngineInfo } from "../engine/types.ts";

/**
 * What the translation must know of the engine and the node, all of it gathered by the caller:
 * from `/_ping`, `/info`, the configuration and /proc.
 */
export interface EngineFacts {
  /** Negotiated API version 1.<apiMinor>. */
  readonly apiMinor: number;
  readonly cgroupDriver: "cgroupfs" | "systemd";
  readonly cgroupVersion: 1 | 2;
  /** The daemon remaps all containers into one user namespace (`userns-remap`). */
  readonly usernsRemap: boolean;
  readonly selinuxEnabled: boolean;
  /** daemon.json gives every container no-new-privileges that does not say otherwise. */
  readonly noNewPrivilegesByDefault?: boolean;
  readonly apparmorEnabled: boolean;
  /** The kernel has IPv6: /proc/sys/net/ipv6 exists. Undefined counts as yes. */
  readonly ipv6?: boolean;
  /** The kernel limits huge pages in cgroups here. Undefined counts as yes. */
  readonly hugepages?: boolean;
  /** Names of the daemon's OCI runtimes, and the one it uses when none is named. */
  readonly runtimes: readonly string[];
  readonly defaultRuntime: string;
  /**
   * dockline-oci as registered and seen to work; without one for a container's runtime, what only
   * edits of the OCI spec can give is refused.
   */
  readonly editingRuntimes?: readonly EditingRuntime[];
  /**
   * The lowest oom_score_adj that this host lets a container have: -1000 normally, the daemon's own
   * value where CAP_SYS_RESOURCE is missing. Lower requests are raised to it.
   */
  readonly oomScoreFloor: number;
  /**
   * Capabilities that no process of this node can have ("SYS_RESOURCE" in a nested host); none
   * normally.
   */
  readonly missingCapabilities?: readonly string[];
  /** json-file options of pod containers: Docker's size form ("16m") and a count. */
  readonly logMaxSize: string;
  readonly logMaxFiles: number;
  /** Group a pod's containers under one containerd shim where the engine allows it. */
  readonly shimPerPod: boolean;
  /** Set on a container, so that the daemon's default-ulimits of the same names do not apply. */
  readonly ulimits?: readonly { Name: string; Soft: number; Hard: number }[];
  /** More json-file options, against the daemon's log-opts of the same names. */
  readonly logOptions?: Readonly<Record<string, string>>;
  readonly dockerRootDir: string;
  /**
   * Where the engine itself looks for CDI specifications; empty where it has no CDI (before Docker 25) or has it
   * switched off (the default before Docker 28.2, and `features.cdi: false`). Undefined counts as empty.
   */
  readonly cdiFolders?: readonly string[];
}

/** The members that are used here of an OCI runtime's answer to `features` (runtime-spec, features.md). */
export interface RuntimeFeatures {
  /** The newest version of the specification that it carries out: "1.0.2-dev", "1.2.0". */
  readonly ociVersionMax?: string;
  readonly hooks?: readonly string[];
  readonly mountOptions?: readonly string[];
  readonly linux?: {
    readonly namespaces?: readonly string[];
    readonly seccomp?: {
      readonly enabled?: boolean;
      readonly actions?: readonly string[];
      readonly operators?: readonly string[];
      readonly archs?: readonly string[];
      readonly knownFlags?: readonly string[];
      readonly supportedFlags?: readonly string[];
    };
    readonly intelRdt?: {
      readonly enabled?: boolean;
      readonly schemata?: boolean;
      readonly monitoring?: boolean;
    };
    readonly memoryPolicy?: {
      readonly modes?: readonly string[];
      readonly flags?: readonly string[];
    };
    readonly netDevices?: { readonly enabled?: boolean };
  };
}

/** dockline-oci in front of one OCI runtime. */
export interface EditingRuntime {
  /** Docker's name of it: "dockline" in front of runc, "dockline-crun". */
  readonly name: string;
  /** Why no pod can have a user namespace; undefined where it can. */
  readonly noUserNamespaces?: string;
  /** Read-only mounts with all mounts below. */
  readonly recursiveReadOnly: boolean;
  /** It can have a pause container join a network namespace that was made before. */
  readonly networkNamespaces?: boolean;
  /** It edits lists by key and checks what the real runtime must know; programs before 0.2 do neither. */
  readonly lists?: boolean;
  /** What the real runtime says of itself; undefined where it says nothing. */
  readonly features?: RuntimeFeatures;
}

/** For one container: the facts, and what its runtime handler can be edited with. */
export type HandlerFacts<Used extends keyof EngineFacts> = Pick<EngineFacts, Used> & {
  readonly editing?: EditingRuntime | undefined;
};

/** API minors at which Docker Engine learned something that the translation leans on. */
export const API = {
  /** The last that takes "ALL" for what the kernel knows instead of what the node has (20.10). */
  lastWithoutCapabilityCheck: 41,
  /** 23.0: `seccomp=builtin`, containerd shim names as runtimes. */
  seccompBuiltin: 42,
  /** 24.0: HostConfig.Annotations. */
  annotations: 43,
  /** 25.0: plain read-only binds became recursive. */
  readOnlyRecursion: 44,
  /** 25.0: CDI device requests, as far as the engine's configuration has them on. */
  cdi: 44,
  /** The last with which dockerd disables IPv6 in a fresh network namespace (25.0). */
  lastWithoutIpv6: 44,
  /** 28.0: mounts of type image. */
  imageMounts: 48,
  /** Images in containerd's store say whether they were pulled or built. */
  imageIdentity: 53,
} as const;

/** Docker runs as another user than root. */
export function isRootless(info: Pick<EngineInfo, "SecurityOptions">): boolean {
  return (info.SecurityOptions ?? []).some((line) => line.split(",").includes("name=rootless"));
}
