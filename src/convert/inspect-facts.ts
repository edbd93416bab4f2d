import type { ContainerInspect, HostConfig } from "../engine/types.ts";
import { sharedText } from "./shared-text.ts";

const hostKeys = [
  ...["CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "NanoCpus"],
  ...["Memory", "MemorySwap", "MemoryReservation", "PidsLimit", "OomScoreAdj"],
  ...["NetworkMode", "PidMode", "IpcMode", "CgroupParent", "Runtime"],
  ...["GroupAdd", "Ulimits", "LogConfig", "PortBindings"],
] as const satisfies readonly (keyof HostConfig)[];

type HostFacts = Pick<HostConfig, (typeof hostKeys)[number]>;

/**
 * What is kept of an inspect as long as its container exists: what readers ask for, a tenth of the whole.
 * Labels are in the identity; environment and command nobody reads.
 */
export interface InspectFacts extends Pick<ContainerInspect, "State" | "Mounts"> {
  /** Docker's folder of container logs, where the log has its usual name in it (`dockerLogPath`). */
  readonly logsFolder?: string;
  /** Else the log's whole path; "" for a log driver without a file. */
  readonly LogPath?: string;
  readonly HostConfig: HostFacts;
  readonly Config: Pick<ContainerInspect["Config"], "User" | "StopSignal">;
  readonly NetworkSettings: Pick<ContainerInspect["NetworkSettings"], "SandboxKey">;
  readonly GraphDriver?: { readonly Data: Record<string, string> | null };
}

/** @param legacy made by cri-dockerd or dockershim, which kept no mounts of their own */
export function inspectFacts(inspect: ContainerInspect, legacy: boolean): InspectFacts {
  const { State, Config, NetworkSettings } = inspect;
  const upperDir = inspect.GraphDriver?.Data?.["UpperDir"];
  const mounts = (inspect.Mounts ?? []).filter(({ Type }) => legacy || Type === "volume");
  return {
    State,
    ...logFacts(inspect),
    HostConfig: hostFacts(inspect.HostConfig),
    Config: {
      User: Config.User,
      ...(Config.StopSignal === undefined ? {} : { StopSignal: Config.StopSignal }),
    },
    NetworkSettings:
      NetworkSettings.SandboxKey === undefined ? {} : { SandboxKey: NetworkSettings.SandboxKey },
    ...(mounts.length === 0 ? {} : { Mounts: mounts }),
    ...(upperDir === undefined ? {} : { GraphDriver: { Data: { UpperDir: upperDir } } }),
  };
}

/** A path that holds the id twice is a tenth of all that is kept of a container. */
function logFacts({ Id, LogPath }: ContainerInspect): { logsFolder?: string; LogPath?: string } {
  const end = `/${Id}/${Id}-json.log`;
  return LogPath.endsWith(end)
    ? { logsFolder: sharedText(LogPath.slice(0, -end.length)) }
    : { LogPath };
}

/** Where Docker keeps a container's output; "" when there is no such file, or none is known. */
export function dockerLogPath(id: string, facts: InspectFacts | undefined): string {
  if (facts?.logsFolder !== undefined) return `${facts.logsFolder}/${id}/${id}-json.log`;
  return facts?.LogPath ?? "";
}

/** Without what says nothing: Docker answers with a zero for each limit that is not set. */
function hostFacts(host: HostConfig): HostFacts {
  const kept = hostKeys.flatMap((key) => {
    const value = host[key];
    const empty = value === undefined || value === null || value === 0 || value === "";
    if (empty || (Array.isArray(value) && value.length === 0)) return [];
    return [[key, typeof value === "string" ? sharedText(value) : value] as const];
  });
  return Object.fromEntries(kept);
}
