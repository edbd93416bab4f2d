import { readFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "../../src/log.ts";
import type { NetnsState } from "../../src/network/netns.ts";
import { createNetwork } from "../../src/network/network.ts";
import type { SetUpRequest } from "../../src/network/attachment.ts";
import type { Network, NetworkOptions } from "../../src/network/network.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { makeCniFolder, ownPodId } from "./cni-folder.ts";
import type { CniFolder } from "./cni-folder.ts";

export const addResult = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", sandbox: "/run/netns/pod" }],
  ips: [
    { address: "10.1.2.3/24", interface: 0 },
    { address: "fd00::3/64", interface: 0 },
  ],
};

/** Body of a plugin that writes down what it got, then answers `result` to ADD. */
export const recorder = (result: unknown = addResult): string =>
  [
    'printf %s "$config" > "$0.$CNI_COMMAND.json"',
    'env | sort > "$0.$CNI_COMMAND.env"',
    'echo "$(basename "$0") $CNI_COMMAND $CNI_NETNS" >> "$(dirname "$0")/../order"',
    `if [ "$CNI_COMMAND" = ADD ]; then echo '${JSON.stringify(result)}'; fi`,
  ].join("\n");

/** A network whose plugins are scripts and whose namespaces are what `netns` says. */
export interface RecordingNetwork extends CniFolder {
  netns: NetnsState;
  open(more?: Partial<NetworkOptions>): Network;
  request(more?: Partial<SetUpRequest>): SetUpRequest;
  /** Writes a list of the plugins `first` and `second`. */
  writeChain(more?: object): void;
  /** The configuration that a plugin got on stdin. */
  seen(plugin: string, verb: string): Record<string, unknown>;
  /** Plugin, verb and namespace of each call, in order. */
  order(): string[];
}

export function makeRecordingNetwork(): RecordingNetwork {
  const folder = makeCniFolder();
  const made: RecordingNetwork = {
    ...folder,
    netns: "pod",
    open: (more = {}) =>
      createNetwork({
        confDir: folder.confDir,
        binDirs: [join(folder.root, "absent"), folder.binDir],
        legacyCacheDir: folder.cacheDir,
        otherCacheDir: join(folder.root, "other"),
        log: silentLogger,
        clock: systemClock,
        inspectNetns: (path) => Promise.resolve(path === "" ? "gone" : made.netns),
        ...more,
      }),
    request: (more = {}) => ({
      containerId: ownPodId,
      netns: "/run/netns/pod",
      podName: "web",
      podNamespace: "shop",
      podUid: "u-1",
      portMappings: [],
      beforeAdd: () => Promise.resolve(),
      ...more,
    }),
    writeChain: (more = {}) => {
      folder.write("10-net.conflist", {
        cniVersion: "1.0.0",
        name: "net",
        plugins: [
          { type: "first", mtu: 1400, capabilities: { ipRanges: false, dns: true } },
          { type: "second", capabilities: { portMappings: true, bandwidth: true } },
        ],
        ...more,
      });
      folder.plugin("first", recorder());
      folder.plugin("second", recorder({ ...addResult, dns: { nameservers: ["10.0.0.1"] } }));
    },
    seen: (plugin, verb) =>
      JSON.parse(readFileSync(join(folder.binDir, `${plugin}.${verb}.json`), "utf8")) as Record<
        string,
        unknown
      >,
    order: () => readFileSync(join(folder.root, "order"), "utf8").split("\n").slice(0, -1),
  };
  return made;
}

/** The error that `work` ends with; throws when it succeeds. */
export async function caught(work: Promise<unknown>): Promise<Error> {
  return await work.then(
    () => {
      throw new Error("it succeeded");
    },
    (error: unknown) => error as Error,
  );
}
