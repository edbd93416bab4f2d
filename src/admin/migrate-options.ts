import { parseArguments } from "../config/argv.ts";
import { readConfigFile } from "../config/file.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import { flagOf } from "./migrate-node.ts";
import type { ForeignFolders } from "./migrate-node.ts";

export type Origin = "cri-dockerd" | "dockershim";

/** What `dockline migrate` was asked for. */
export interface MigrateOptions {
  direction: "from" | "back" | "undo" | "to";
  /** dockershim lived in the kubelet: there is no service to end. */
  from: Origin | undefined;
  apply: boolean;
  kubeletFlags: string | undefined;
  kubeletConfig: string | undefined;
  folders: ForeignFolders;
  /** What the kubelet is pointed to when cri-dockerd has the node again. */
  criDockerdEndpoint: string;
  /** cri-dockerd's own, when its command line names one. */
  theirPauseImage: string | undefined;
  /** Where the files for containerd go. */
  output: string | undefined;
  dockerCertsDir: string;
  config: Config;
}

const criDockerdSocket = "unix:///var/run/cri-dockerd.sock";
const valueFlags = [
  ...["--from", "--to", "--kubelet-flags", "--kubelet-config", "--output", "--docker-certs-dir"],
  ...["--cri-dockerd-root-directory", "--dockershim-root"],
];

/**
 * Undefined for `--help`. Throws InvalidArgument for what `serve` would not take either.
 * `theirs` is cri-dockerd's command line, as far as it is known.
 */
export function parseOptions(
  args: readonly string[],
  theirs: readonly string[] = [],
): MigrateOptions | undefined {
  const values = new Map<string, string>();
  const switches = new Set<string>();
  const rest: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? "";
    const name = argument.split("=", 1)[0] ?? "";
    if (["--apply", "--back", "--undo", "--help", "-h"].includes(argument)) switches.add(argument);
    else if (valueFlags.includes(name)) {
      const given = argument === name ? args[(at += 1)] : argument.slice(name.length + 1);
      if (given === undefined) throw new Error(`${name} needs a value`);
      values.set(name, given);
    } else rest.push(argument);
  }
  if (switches.has("--help") || switches.has("-h")) return undefined;
  const from = values.get("--from");
  const back = switches.has("--back");
  if (from !== undefined && from !== "cri-dockerd" && from !== "dockershim") {
    throw new Error(`--from ${from}: want cri-dockerd or dockershim`);
  }
  const to = values.get("--to");
  if (to !== undefined && to !== "containerd") throw new Error(`--to ${to}: want containerd`);
  const directions = [from !== undefined, back, to !== undefined].filter(Boolean);
  if (directions.length !== 1) throw new Error("say one of --from, --back and --to");
  if (values.has("--output") && to === undefined) throw new Error("--output belongs to --to");
  if (to !== undefined && switches.has("--apply") && !values.has("--output")) {
    throw new Error("--to containerd --apply needs --output FOLDER");
  }
  if (switches.has("--undo") && !back) throw new Error("--undo belongs to --back");
  const { flags, configFile } = parseArguments(rest);
  const { values: file } = readConfigFile(configFile);
  const theirEndpoint = flagOf(theirs, "--container-runtime-endpoint");
  const inherited = flagOf(theirs, "--cni-cache-dir");
  const { config } = loadConfig({
    file: { ...(inherited === undefined ? {} : { cniCacheDir: inherited }), ...file },
    environment: process.env,
    flags,
  });
  return {
    direction:
      from !== undefined
        ? "from"
        : to !== undefined
          ? "to"
          : switches.has("--undo")
            ? "undo"
            : "back",
    from,
    apply: switches.has("--apply"),
    kubeletFlags: values.get("--kubelet-flags"),
    kubeletConfig: values.get("--kubelet-config"),
    folders: {
      criDockerd:
        values.get("--cri-dockerd-root-directory") ??
        flagOf(theirs, "--cri-dockerd-root-directory") ??
        "/var/lib/cri-dockerd",
      dockershim: values.get("--dockershim-root") ?? "/var/lib/dockershim",
    },
    // By its socket unit it has "fd://".
    criDockerdEndpoint: theirEndpoint?.startsWith("unix://") ? theirEndpoint : criDockerdSocket,
    theirPauseImage: flagOf(theirs, "--pod-infra-container-image"),
    output: values.get("--output"),
    dockerCertsDir: values.get("--docker-certs-dir") ?? "/etc/docker/certs.d",
    config,
  };
}
