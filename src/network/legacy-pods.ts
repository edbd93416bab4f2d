import { CriError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { capabilityArgs } from "./attachment.ts";
import type { NetworkAttachment, PortMapping } from "./attachment.ts";
import { podCniArgs } from "./cni-args.ts";
import type { ConfigLookup } from "./config-source.ts";
import { isCniName } from "./conflist.ts";
import type { JsonObject, NetworkConfig } from "./conflist.ts";
import { readLegacyCache, removeLegacyCache } from "./legacy-cache.ts";
import type { LegacyCacheEntry } from "./legacy-cache.ts";
import { podIps } from "./result.ts";

/** What is known of a pod sandbox that Dockline did not make. */
export interface LegacyPod {
  containerId: string;
  /** "" when it is gone. */
  netns: string;
  podName: string;
  podNamespace: string;
  /** From cri-dockerd's checkpoint; only used when its CNI cache has no entry. */
  portMappings: readonly PortMapping[];
}

export interface LegacyPods {
  tearDown(pod: LegacyPod, giveUp?: boolean): Promise<void>;
  ips(containerId: string): Promise<string[]>;
}

/** The result is in the version that was spoken at ADD; a file may offer newer ones beside it. */
function versionAtAdd(config: NetworkConfig, result: JsonObject | undefined): string {
  const spoken = result?.["cniVersion"];
  const offered = config.versions.find((version) => version === spoken) ?? config.versions[0];
  return offered ?? "0.3.1";
}

/** The networks of pods that were taken over, by what their maker's libcni wrote down. */
export function createLegacyPods(options: {
  cacheDir: string;
  ifName: string;
  log: Logger;
  currentConfig: () => Promise<ConfigLookup>;
  /** The node's ranges: host-local refuses a DEL whose configuration has lost its ranges. */
  podCidrs: () => readonly string[];
  netnsForDel: (netns: string) => Promise<string>;
  tearDown: (attachment: NetworkAttachment, netns: string, giveUp?: boolean) => Promise<void>;
}): LegacyPods {
  const { cacheDir, ifName, log } = options;

  const ipsOf = (containerId: string, entry: LegacyCacheEntry | undefined): string[] => {
    if (entry?.result === undefined) return [];
    try {
      return podIps(entry.result, ifName);
    } catch (err) {
      log.warn({ err, containerId }, "a CNI result in the cache is damaged");
      return [];
    }
  };

  /** The saved configuration where there is one, else today's, which is all that cri-dockerd used. */
  const toAttachment = async (
    pod: LegacyPod,
    entry: LegacyCacheEntry | undefined,
  ): Promise<NetworkAttachment | string> => {
    const lookup = entry?.config === undefined ? await options.currentConfig() : undefined;
    const config = entry?.config ?? lookup?.config;
    if (config === undefined) return lookup?.problem ?? "no CNI configuration";
    return {
      networkName: config.name,
      cniVersion: lookup?.config?.cniVersion ?? versionAtAdd(config, entry?.result),
      ifName,
      containerId: pod.containerId,
      netns: pod.netns,
      plugins: config.plugins,
      disableCheck: config.disableCheck,
      args: entry?.args ?? podCniArgs(pod),
      capabilityArgs:
        entry?.capabilityArgs ??
        capabilityArgs({ portMappings: pod.portMappings, podCidrs: options.podCidrs() }),
      ...(entry?.result === undefined ? { addUnknown: true } : { result: entry.result }),
      ips: ipsOf(pod.containerId, entry),
    };
  };

  return {
    tearDown: async (pod, giveUp) => {
      if (!isCniName(pod.containerId)) return;
      const entries = await readLegacyCache(cacheDir, pod.containerId, ifName);
      for (const entry of entries.length === 0 ? [undefined] : entries) {
        const attachment = await toAttachment(pod, entry);
        if (typeof attachment !== "string") {
          await options.tearDown(attachment, pod.netns, giveUp);
        } else if ((await options.netnsForDel(pod.netns)) === "") {
          // Nothing says how to undo, and with the namespace the pod's own side went. An error would
          // keep the pod Terminating for ever; an address that leaked can be told from this line.
          log.warn(
            { containerId: pod.containerId, pod: `${pod.podNamespace}/${pod.podName}` },
            "CNI DEL left out: no saved configuration, none today, and the namespace is gone",
          );
        } else {
          throw new CriError(
            "Unavailable",
            `pod ${pod.podNamespace}/${pod.podName}: its network was made by another runtime, ` +
              `which left no CNI result in ${cacheDir}, and ${attachment}`,
          );
        }
      }
      await removeLegacyCache(cacheDir, pod.containerId, ifName);
    },

    ips: async (containerId) => {
      if (!isCniName(containerId)) return [];
      const ips: string[] = [];
      for (const entry of await readLegacyCache(cacheDir, containerId, ifName)) {
        ips.push(...ipsOf(containerId, entry));
      }
      return [...new Set(ips)];
    },
  };
}
