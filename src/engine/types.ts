/**
 * The part of the Docker Engine API's JSON that Dockline sends and reads, API 1.41 to the newest.
 * Field names are Docker's. A field that some engine version leaves out is optional here.
 */

export interface PortBinding {
  HostIp?: string;
  HostPort?: string;
}

export interface DockerMount {
  Type: "bind" | "volume" | "tmpfs" | "image";
  Source?: string;
  Target: string;
  ReadOnly?: boolean;
  BindOptions?: {
    Propagation?: "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave";
    NonRecursive?: boolean;
    CreateMountpoint?: boolean;
    ReadOnlyNonRecursive?: boolean;
    ReadOnlyForceRecursive?: boolean;
  };
  ImageOptions?: { Subpath?: string };
}

export interface DeviceMapping {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

export interface ResourceConfig {
  CpuShares?: number;
  CpuPeriod?: number;
  CpuQuota?: number;
  CpusetCpus?: string;
  CpusetMems?: string;
  /** Bytes; 0 is "no limit" on create and "unchanged" on update. Beyond 2^53 only as "no limit". */
  Memory?: number;
  MemorySwap?: number;
  MemoryReservation?: number;
  PidsLimit?: number | null;
  NanoCpus?: number;
}

export interface HostConfig extends ResourceConfig {
  Binds?: string[] | null;
  Mounts?: DockerMount[];
  NetworkMode?: string;
  PidMode?: string;
  IpcMode?: string;
  UTSMode?: string;
  UsernsMode?: string;
  CgroupnsMode?: "" | "private" | "host";
  CgroupParent?: string;
  Runtime?: string;
  Privileged?: boolean;
  ReadonlyRootfs?: boolean;
  CapAdd?: string[] | null;
  CapDrop?: string[] | null;
  GroupAdd?: string[] | null;
  SecurityOpt?: string[] | null;
  /** null means Docker's defaults, [] means none: the difference is procMount Unmasked. */
  MaskedPaths?: string[] | null;
  ReadonlyPaths?: string[] | null;
  Sysctls?: Record<string, string>;
  OomScoreAdj?: number;
  ShmSize?: number;
  Init?: boolean | null;
  AutoRemove?: boolean;
  RestartPolicy?: { Name: string; MaximumRetryCount?: number };
  LogConfig?: { Type: string; Config: Record<string, string> };
  PortBindings?: Record<string, PortBinding[] | null>;
  Devices?: DeviceMapping[] | null;
  DeviceRequests?: { Driver: string; DeviceIDs?: string[]; Count?: number }[] | null;
  Ulimits?: { Name: string; Soft: number; Hard: number }[] | null;
  Annotations?: Record<string, string>;
  ExtraHosts?: string[] | null;
}

/** Body of POST /containers/create. */
export interface ContainerCreate {
  Image: string;
  Hostname?: string;
  User?: string;
  Env?: string[];
  Cmd?: string[] | null;
  Entrypoint?: string[] | null;
  WorkingDir?: string;
  Labels: Record<string, string>;
  OpenStdin?: boolean;
  StdinOnce?: boolean;
  AttachStdin?: boolean;
  AttachStdout?: boolean;
  AttachStderr?: boolean;
  Tty?: boolean;
  StopSignal?: string;
  Healthcheck?: { Test: string[] };
  ExposedPorts?: Record<string, object>;
  HostConfig: HostConfig;
}

export interface ContainerState {
  Status: "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";
  Running: boolean;
  Paused: boolean;
  Restarting: boolean;
  OOMKilled: boolean;
  Dead: boolean;
  Pid: number;
  ExitCode: number;
  Error: string;
  /** RFC 3339 with nanoseconds; "0001-01-01T00:00:00Z" is "never". */
  StartedAt: string;
  FinishedAt: string;
}

export interface EndpointSettings {
  IPAddress?: string;
  GlobalIPv6Address?: string;
}

/** GET /containers/{id}/json. */
export interface ContainerInspect {
  Id: string;
  /** With one leading slash. */
  Name: string;
  Created: string;
  Path?: string;
  Args?: string[];
  State: ContainerState;
  /** Image id ("sha256:…"). */
  Image: string;
  ResolvConfPath: string;
  HostnamePath?: string;
  HostsPath?: string;
  LogPath: string;
  Driver?: string;
  AppArmorProfile?: string;
  ProcessLabel?: string;
  /** SELinux label of the container's files; empty without SELinux and for privileged containers. */
  MountLabel?: string;
  GraphDriver?: { Name: string; Data: Record<string, string> | null };
  HostConfig: HostConfig;
  Mounts?: {
    Type: string;
    Name?: string;
    Source: string;
    Destination: string;
    RW: boolean;
    Propagation?: string;
  }[];
  Config: {
    Hostname: string;
    User: string;
    Env: string[] | null;
    Cmd: string[] | null;
    Entrypoint: string[] | null;
    Image: string;
    WorkingDir: string;
    Labels: Record<string, string> | null;
    Tty: boolean;
    OpenStdin: boolean;
    StdinOnce: boolean;
    StopSignal?: string;
    StopTimeout?: number;
  };
  NetworkSettings: {
    SandboxKey?: string;
    IPAddress?: string;
    GlobalIPv6Address?: string;
    Networks?: Record<string, EndpointSettings | null> | null;
  };
}

/** One entry of GET /containers/json. */
export interface ContainerSummary {
  Id: string;
  /** Each with one leading slash; links of other containers would follow the own name. */
  Names: string[];
  Image: string;
  ImageID: string;
  /** Seconds since the epoch. */
  Created: number;
  State: ContainerState["Status"];
  Status: string;
  Labels: Record<string, string> | null;
  HostConfig?: { NetworkMode?: string };
}

/** GET /version. */
export interface EngineVersion {
  Version: string;
  ApiVersion: string;
  MinAPIVersion?: string;
  Os: string;
  Arch: string;
  KernelVersion: string;
  Components?: { Name: string; Version: string }[];
}

/** GET /info. */
export interface EngineInfo {
  ID: string;
  ServerVersion: string;
  Driver: string;
  DriverStatus: [string, string][] | null;
  DockerRootDir: string;
  CgroupDriver: string;
  CgroupVersion?: string;
  KernelVersion: string;
  OperatingSystem: string;
  Architecture: string;
  NCPU: number;
  MemTotal: number;
  LoggingDriver: string;
  LiveRestoreEnabled: boolean;
  SecurityOptions: string[] | null;
  DefaultRuntime: string;
  Runtimes: Record<
    string,
    {
      path?: string;
      runtimeArgs?: string[];
      runtimeType?: string;
      status?: Record<string, string> | null;
    }
  > | null;
  RegistryConfig?: { IndexConfigs?: Record<string, unknown>; Mirrors?: string[] };
  Containerd?: { Address?: string; Namespaces?: { Containers?: string; Plugins?: string } };
  ContainerdCommit?: { ID: string };
  RuncCommit?: { ID: string };
  CDISpecDirs?: string[];
  Warnings?: string[] | null;
}

/** One message of GET /events (the fields that every API version has). */
export interface EngineEvent {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  /** Nanoseconds since the epoch, exact. */
  timeNano: bigint;
}

/** GET /exec/{id}/json. */
export interface ExecInspect {
  ID: string;
  Running: boolean;
  ExitCode: number | null;
  /** Pid on the host; 0 when it never ran. */
  Pid: number;
  ContainerID: string;
}

/** GET /system/df?type=image: only the sum that ImageFsInfo needs. */
export interface DiskUsage {
  LayersSize?: number;
  ImageUsage?: { TotalSize?: number };
}
