import type { ImageInspect } from "../engine/image-types.ts";
import type { ContainerCreate, ContainerInspect } from "../engine/types.ts";
import type { ProcessFacts } from "./nri-container.ts";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The process that Docker will start for this create, with what the image adds. */
export function processOfCreate(
  create: ContainerCreate,
  image: ImageInspect["Config"],
  hostname: string,
): ProcessFacts {
  const own = create.Env ?? [];
  const names = new Set(own.map(nameOf));
  const env = [...own, ...(image?.Env ?? []).filter((line) => !names.has(nameOf(line)))];
  const entrypoint = create.Entrypoint ?? image?.Entrypoint ?? [];
  const command = create.Cmd ?? (create.Entrypoint == null ? (image?.Cmd ?? []) : []);
  return {
    args: [...entrypoint, ...command],
    env: withDefaults(env, hostname, create.Tty === true),
    host: create.HostConfig,
  };
}

/** The same of a container that exists. */
export function processOfInspect(inspect: ContainerInspect, hostname: string): ProcessFacts {
  const { Config, Path, Args, HostConfig } = inspect;
  return {
    args: Path === undefined || Path === "" ? [] : [Path, ...(Args ?? [])],
    env: withDefaults(Config.Env ?? [], hostname, Config.Tty),
    host: HostConfig,
  };
}

/** Docker puts its own variables first, in whose places go those of the same name. */
function withDefaults(env: readonly string[], hostname: string, tty: boolean): string[] {
  const lines = new Map([["PATH", PATH]]);
  lines.set("HOSTNAME", `HOSTNAME=${hostname}`);
  if (tty) lines.set("TERM", "TERM=xterm");
  for (const line of env) lines.set(nameOf(line), line);
  return [...lines.values()];
}

const nameOf = (line: string): string => line.split("=", 1)[0] ?? "";
