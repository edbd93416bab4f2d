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
import type { NetnsNow } from "./netns.ts";
import { podIps } from "./result.ts";

/** What is known of a pod sandbox that Dockline did not make. */
export interface LegacyPod {
  containerId: string;
  netns: NetnsNow;
  podName: string;
  podNamespace: string;
  /** From cri-dockerd's checkpoint; only used when its CNI cache has no entry. */
  portMappings: readonly PortMapping[];
}

export interface LegacyPods {
  tearDown(pod: LegacyPod, giveUp?: boolean): Promise<void>;
  attachment(containerId: string): Promise<LegacyAttachment>;
}

/** What is saved of the ADD of such a pod. */
export interface LegacyAttachment {
  /** Empty when nothing is saved. */
  ips: string[];
  /** The pause process at ADD; missing where the cache names the namespace by another path. */
  pausePid?: number;
}

/** The result is in the version that was spoken at ADD; a file may offer newer ones beside it. */
function versionAtAdd(config: NetworkConfig, result: JsonObject | undefined): string {
  const spoken = result?.["cniVersion"];
  const offered = config.versions.find((version) => version === spoken) ?? config.versions[0];
  return offered ?? "0.3.1";
}

/** Of a path as cri-dockerd and dockershim name namespaces. */
function pidIn(netns: string | undefined): number | undefined {
  const pid = /^\/proc\/([1-9]\d*)\/ns\/net$/.exec(netns ?? "")?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** The networks of pods that were taken over, by what their maker's libcni wrote down. */
export function createLegacyPods(options: {
  cacheDir: string;
  ifName: string;
  log: Logger;
  currentConfig: () => Promise<ConfigLookup>;
  /** The node's ranges: host-local refuses a DEL whose configuration has lost its ranges. */
  podCidrs: () => readonly string[];
  netnsForDel: (netns: NetnsNow) => Promise<string>;
  tearDown: (attachment: NetworkAttachment, netns: NetnsNow, giveUp?: boolean) => Promise<void>;
}): LegacyPods {
  const { cacheDir, ifName, log } = options;

  const ipsOf = (containerId: string, entry: LegacyCacheEntry | undefined): string[] => {
    if (entry?.result === undefined) return [];
    try {
      return podIps(entry.result, ifName);
    } catch (err) {
      log.warn({ err, podId: containerId }, "a CNI result in the cache is damaged");
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
      // DEL asks where it is before each plugin.
      netns: "",
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
          // keep the pod Terminating forever; an address that leaked can be told from this line.
          log.warn(
            { podId: pod.containerId, pod: pod.podName, namespace: pod.podNamespace },
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

    attachment: async (containerId) => {
      if (!isCniName(containerId)) return { ips: [] };
      const ips: string[] = [];
      let pausePid: number | undefined;
      for (const entry of await readLegacyCache(cacheDir, containerId, ifName)) {
        ips.push(...ipsOf(containerId, entry));
        pausePid ??= pidIn(entry.netns);
      }
      return { ips: [...new Set(ips)], ...(pausePid === undefined ? {} : { pausePid }) };
    },
  };
}
