import type {
  ContainerCreate,
  ContainerInspect,
  ContainerState,
  ContainerSummary,
  HostConfig,
} from "../../src/engine/types.ts";
import type { FakeImage } from "./fake-images.ts";

export const neverText = "0001-01-01T00:00:00Z";

/** A container as the fake keeps it; `inspectOf` and `summaryOf` show it as Docker does. */
export interface FakeContainer {
  id: string;
  name: string;
  createdAtNs: bigint;
  startedAtNs: bigint;
  finishedAtNs: bigint;
  body: ContainerCreate;
  hostConfig: HostConfig;
  labels: Record<string, string>;
  image: FakeImage;
  status: ContainerState["Status"];
  /** What the list says instead of `status`: the engine answers it from another copy. */
  listedStatus?: ContainerState["Status"];
  pid: number;
  exitCode: number;
  error: string;
  oomKilled: boolean;
  /** Files that readArchive serves, by absolute path. */
  files: Map<string, Buffer>;
}

/** RFC 3339 with nanoseconds, trailing zeros dropped as Go does. */
export function rfc3339Nano(ns: bigint): string {
  if (ns === 0n) return neverText;
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  const fraction = String(ns % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return fraction === "" ? `${seconds}Z` : `${seconds}.${fraction}Z`;
}

export function isAlive(container: FakeContainer): boolean {
  return container.status === "running" || container.status === "paused";
}

export function inspectOf(container: FakeContainer, dockerRoot: string): ContainerInspect {
  const { body, image } = container;
  const folder = `${dockerRoot}/containers/${container.id}`;
  const alive = isAlive(container);
  const networkMode = container.hostConfig.NetworkMode ?? "default";
  const [path = "", ...args] = [...(body.Entrypoint ?? []), ...(body.Cmd ?? [])];
  return {
    Id: container.id,
    Name: `/${container.name}`,
    Created: rfc3339Nano(container.createdAtNs),
    Path: path,
    Args: args,
    State: {
      Status: container.status,
      Running: alive,
      Paused: container.status === "paused",
      Restarting: false,
      OOMKilled: container.oomKilled,
      Dead: container.status === "dead",
      Pid: container.pid,
      ExitCode: container.exitCode,
      Error: container.error,
      StartedAt: rfc3339Nano(container.startedAtNs),
      FinishedAt: rfc3339Nano(container.finishedAtNs),
    },
    Image: image.id,
    ResolvConfPath: `${folder}/resolv.conf`,
    HostnamePath: `${folder}/hostname`,
    HostsPath: `${folder}/hosts`,
    LogPath: `${folder}/${container.id}-json.log`,
    Driver: "overlay2",
    HostConfig: structuredClone(container.hostConfig),
    Mounts: [],
    Config: {
      Hostname: body.Hostname ?? container.id.slice(0, 12),
      User: body.User ?? image.user,
      Env: body.Env ?? null,
      Cmd: body.Cmd ?? null,
      Entrypoint: body.Entrypoint ?? null,
      Image: body.Image,
      WorkingDir: body.WorkingDir ?? "",
      Labels: { ...container.labels },
      Tty: body.Tty ?? false,
      OpenStdin: body.OpenStdin ?? false,
      StdinOnce: body.StdinOnce ?? false,
      ...(body.StopSignal === undefined ? {} : { StopSignal: body.StopSignal }),
    },
    NetworkSettings: {
      SandboxKey: alive ? `/var/run/docker/netns/${container.id.slice(0, 12)}` : "",
      Networks: { [networkMode]: { IPAddress: "" } },
    },
  };
}

export function summaryOf(container: FakeContainer, imageText: string): ContainerSummary {
  return {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: imageText,
    ImageID: container.image.id,
    Created: Number(container.createdAtNs / 1_000_000_000n),
    State: container.listedStatus ?? container.status,
    Status: statusText(container),
    Labels: { ...container.labels },
    HostConfig: { NetworkMode: container.hostConfig.NetworkMode ?? "default" },
  };
}

/** Docker's words; only the exit code in them is fixed by its API. */
function statusText(container: FakeContainer): string {
  switch (container.listedStatus ?? container.status) {
    case "created":
      return "Created";
    case "running":
      return "Up 1 second";
    case "paused":
      return "Up 1 second (Paused)";
    case "exited":
      return `Exited (${container.exitCode}) 1 second ago`;
    case "dead":
      return "Dead";
    case "removing":
      return "Removal In Progress";
    case "restarting":
      return `Restarting (${container.exitCode}) 1 second ago`;
  }
}
