import type { GivenUpNote } from "../../state/given-up.ts";
import type { Config } from "../../config/options.ts";
import type { ImageInspect } from "../../engine/image-types.ts";
import type { EngineInfo, EngineVersion } from "../../engine/types.ts";
import type { ForwardPolicy } from "../../network/forward-policy.ts";
import type { Found } from "../kubelet/endpoint.ts";
import type { LeftOver } from "../leftovers.ts";

/** Docker as it describes itself. */
export interface EngineFacts {
  version: EngineVersion;
  info: EngineInfo;
  /** Negotiated API as [major, minor]. */
  api: readonly [number, number];
  /** The pause image as configured; undefined when the engine does not have it. */
  pauseImage: ImageInspect | undefined;
  /**
   * A name of each image that no registry is known to have and that --pinned-images does not name; undefined where the
   * engine does not say where images came from.
   */
  localImages?: readonly string[] | undefined;
}

/** dockerd's settings: its file and its command line. */
export interface DaemonFacts {
  /** daemon.json's path. */
  path: string;
  settings: Readonly<Record<string, unknown>>;
  /** Why the file cannot be read; undefined for one that is fine or not there. */
  trouble?: string;
  /** Its addresses, from both. */
  hosts: readonly string[];
  /** Its "nri-opts" switch NRI on. */
  nri?: true;
  tlsVerify: boolean;
  /** Where it keeps images and containers, as far as that is written down. */
  dataRoot: string;
}

/** How the kubelet of this node is or will be started. */
export interface KubeletFacts {
  /** Where it was read: files, "the running kubelet". Empty: none found. */
  sources: readonly string[];
  /** Its configuration file, where one was read. */
  config?: string;
  /** The running one has none, so that its command line says all. */
  noConfig?: true;
  /** containerRuntimeEndpoint, with the source that says so. */
  endpoint?: Found;
  cgroupDriver?: Found;
  failCgroupV1?: boolean;
  /** It never removes an image, however full the disk is. */
  keepsImages?: true;
  /** Minor of its version 1.x, where the program that runs, or would be started, could be asked. */
  minor?: number;
  /** What kubeadm's next upgrade writes as the endpoint, with the file that says so. */
  nextEndpoint?: { value: string; from: string };
  /** The file that kubeadm's next upgrade would look into, where it has nothing and kubeadm guesses. */
  missingNext?: string;
  /** Flags that went with dockershim, with the file that has them. */
  removedFlags: readonly { flag: string; from: string }[];
  /** Flags that kubelets from minor `since` on do not know. */
  lostFlags?: readonly { flag: string; from: string; since: number }[];
  /** Where its series with pod and container names come from; undefined where it cannot be known. */
  series?: "cri" | "facade" | "none";
  troubles: readonly string[];
}

export interface CniFile {
  name: string;
  /** Undefined for a file that is no configuration; `trouble` says why. */
  network?: string;
  trouble?: string;
}

export interface CniFacts {
  /** Why the folder cannot be read. */
  folderTrouble?: string;
  /** Configuration files, by name. */
  files: readonly CniFile[];
  /** Programs of the first valid file that are missing or cannot be trusted. */
  plugins: readonly { type: string; failure: "missing" | "untrusted"; message: string }[];
  /** Programs and their folders that others than root can change, one sentence each. */
  warnings?: readonly string[];
  /** The same of the configuration's folder and files. */
  configWarnings?: readonly string[];
  /** Plugins that do not answer VERSION, and files that are passed over because of their plugins. */
  notes?: readonly string[];
  /** What `dockline serve` would say; undefined when it has a configuration to use. */
  problem?: string;
}

/** One file system that Dockline or Docker needs. */
export interface DiskFacts {
  path: string;
  what: string;
  /** Shares of what root may not use; undefined where the file system does not count them. */
  freeBytesShare: number;
  freeBytes: number;
  freeInodesShare: number | undefined;
  readOnly: boolean;
  /** Docker's root holds images, the kubelet's imagefs. */
  images: boolean;
}

export interface SocketFacts {
  path: string;
  /** Permission bits; undefined when it is not there. */
  mode: number | undefined;
  group: string;
  /** Somebody accepts connections. */
  answers: boolean;
  /** This user may not look, so that nothing is known of it. */
  denied?: true;
}

/** Dockline's own conditions; `trouble` where it does not answer. */
export interface ServerFacts {
  conditions: readonly { type: string; status: boolean; message: string }[];
  trouble?: string;
}

export interface RuncFacts {
  /** As it prints it: "1.1.5+ds1". */
  version: string;
  /** Its package's changelog, where the version is a distribution's own; "" without one. */
  changelog: string;
}

export interface LeftoverFacts {
  /** By runtime: checkpoints of pods that are gone; undefined where Docker or the folder cannot be read. */
  checkpoints: readonly { runtime: string; root: string; files: readonly LeftOver[] | undefined }[];
  /** Pids of cri-dockerd. */
  criDockerd: readonly number[];
  /** Its units that systemd starts. */
  units: readonly string[];
}

/** What is still to be done for pods and containers, and is not getting done. */
export interface OwedFacts {
  /** Pods whose last CNI DEL has failed. */
  pods: readonly {
    /** "namespace/name". */
    pod: string;
    network: string;
    addresses: readonly string[];
    failure: string;
  }[];
  /** Files of pods' records that Dockline cannot use: path, and why. */
  records: readonly { path: string; trouble: string }[];
  /** Ids of running containers whose limits should have been written more than a minute ago. */
  limits: readonly string[];
}

/** dockerd's mounts, beside those of the node's init. */
export interface DockerMountFacts {
  pid: number;
  /**
   * "shared": the same, or changes go both ways. "slave": the node's mounts reach Docker, Docker's do not reach the node.
   * "private": neither.
   */
  propagation: "shared" | "slave" | "private";
  /** It runs from a snap. */
  snap: boolean;
}

export interface NriFacts {
  path: string;
  /** Dockline is configured to serve plugins there. */
  enabled: boolean;
  /** It does. */
  own?: true;
  /** Who else accepts connections there: "containerd (pid 7)"; undefined where nobody does. */
  listener?: string;
  /** Docker's own NRI is switched on. */
  docker: boolean;
}

/** One registration of dockline-oci. */
export interface EditingFacts {
  name: string;
  program: string;
  /** Where it reads what Dockline writes. */
  edits: string;
  /** Why it cannot be called. */
  trouble?: string;
}

/** All that the checks judge; they read nothing else. */
export interface NodeFacts {
  config: Config;
  root: boolean;
  /** systemd is the init. */
  systemd: boolean;
  /** Of this machine, in Docker's words. */
  architecture: string;
  engine: EngineFacts | undefined;
  engineTrouble: string;
  daemon: DaemonFacts;
  kubelet: KubeletFacts;
  forward: ForwardPolicy;
  /** net.ipv4.ip_forward; undefined where it cannot be read. */
  ipForward: boolean | undefined;
  cni: CniFacts;
  disks: readonly DiskFacts[];
  dockerSocket: SocketFacts;
  docklineSocket: SocketFacts;
  /** Undefined where nobody accepts connections. */
  server: ServerFacts | undefined;
  runc: RuncFacts | undefined;
  leftovers: LeftoverFacts;
  /** CNI DELs that Dockline gave up, oldest first; none where it keeps no notes of any. */
  givenUp?: readonly (GivenUpNote & { path: string })[] | "unreadable";
  editing: readonly EditingFacts[];
  /** Ids of containers that dockline-oci has to start. */
  edited: readonly string[];
  owed: OwedFacts | "unreadable";
  /** Undefined where dockerd is not to be found among the processes. */
  dockerMounts: DockerMountFacts | undefined;
  nri: NriFacts;
}
