/*
 * src/network: CNI: configuration, plugins, results, and the files of a pod that belong to its
 * network.
 * Not here: Docker and sandbox records: callers pass what ADD and DEL need.
 */
import { CriError, errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { GivenUp } from "../state/given-up.ts";
import type { Clock } from "../sys/clock.ts";
import {
  annotationsCapability,
  capabilityArgs,
  chainDeclares,
  needsPodRanges,
  parsePodCidr,
} from "./attachment.ts";
import type { NetworkAttachment, SetUpRequest } from "./attachment.ts";
import { createChain } from "./chain.ts";
import { podCniArgs } from "./cni-args.ts";
import { CniError } from "./cni-error.ts";
import { configWarning, createConfigSource, sourceOf } from "./config-source.ts";
import type { ConfigLookup, NetworkSource, UsableConfig } from "./config-source.ts";
import { isCniName, versionAtLeast } from "./conflist.ts";
import { GcGate } from "./gc-gate.ts";
import { givenUpOf, lineOf } from "./given-up.ts";
import { createLegacyPods } from "./legacy-pods.ts";
import type { LegacyAttachment, LegacyPod } from "./legacy-pods.ts";
import { inspectNetns, pathNow } from "./netns.ts";
import type { NetnsNow, NetnsState } from "./netns.ts";
import { endOrphanedPlugins } from "./orphans.ts";
import { otherAttachments } from "./other-attachments.ts";
import type { ValidAttachment } from "./other-attachments.ts";
import { createPluginRunner } from "./plugin.ts";
import { createStatusProbe } from "./status-probe.ts";

/** The CRI's NetworkReady condition. */
export interface NetworkStatus {
  ready: boolean;
  /** One CamelCase word, "" when ready. */
  reason: string;
  /** What is wrong and what to do about it; when ready, "" or what an operator should look at. */
  message: string;
  /** What `message` says of the configuration when ready; missing when that is nothing. */
  notes?: readonly string[];
}

/** Pods on the CNI network. Calls for one container must not overlap: the caller serialises them. */
export interface Network {
  /** Cheap enough for every Status call: some stats of files, and at most one probe in 10 s. */
  status(): Promise<NetworkStatus>;
  /** The configuration that pods get, for operators: `problem` says why there is none. */
  source(): Promise<NetworkSource>;
  /**
   * Runs ADD. Throws CriError Unavailable without a configuration, InvalidArgument for a request
   * that cannot be passed on, CniError when a plugin fails. After `beforeAdd` was called, every
   * failure must be followed by `tearDown`: nothing is undone here.
   */
  setUp(request: SetUpRequest): Promise<NetworkAttachment>;
  /**
   * Runs DEL with the configuration and result of the ADD; may be repeated. `netns` is where the
   * namespace is now, "" when it is gone; a function is asked before each plugin. What is already gone is a success, and so is a DEL that was
   * given up: one that cannot work any more, or with `giveUp` any that fails. Those are logged and
   * reported to `NetworkOptions.givenUp`.
   */
  tearDown(attachment: NetworkAttachment, netns: NetnsNow, giveUp?: boolean): Promise<void>;
  /** The same for a pod that cri-dockerd or dockershim made. */
  tearDownLegacy(pod: LegacyPod, giveUp?: boolean): Promise<void>;
  /** What its maker's cache has of such a pod. */
  legacyAttachment(containerId: string): Promise<LegacyAttachment>;
  /**
   * Lets plugins of spec 1.1 drop what belongs to none of the attachments that `valid` names, which is
   * asked when nothing is attached or detached any more. Returns why there is no GC, or undefined once it
   * is done. Throws CriError Unavailable when pods are being attached, CniError of a plugin.
   */
  gc(valid: () => Promise<readonly ValidAttachment[]>): Promise<string | undefined>;
  /**
   * The node's pod ranges, "a,b" for dual stack, from the configuration or UpdateRuntimeConfig; the
   * last one counts, an empty one is ignored. Throws CriError InvalidArgument.
   */
  setPodCidr(cidr: string): void;
  close(): void;
}

export interface NetworkOptions {
  /** Awaited for each DEL that is given up; what it throws is thrown on. */
  givenUp?: (given: GivenUp) => Promise<void>;
  /** Default /etc/cni/net.d. */
  confDir?: string;
  /** Searched in this order; default /opt/cni/bin, then /usr/lib/cni. */
  binDirs?: readonly string[];
  /** Where cri-dockerd's libcni cache is; default /var/lib/cni/cache. Read only. */
  legacyCacheDir?: string;
  /** Where that of other runtimes is; default libcni's own, /var/lib/cni. Read only. */
  otherCacheDir?: string;
  log: Logger;
  clock: Clock;
  /** For one chain of plugins, in ms; default 220 s, which is what the kubelet's shims allow. */
  deadlineMs?: number;
  /** What plugins inherit; default: this process's environment. */
  environment?: Readonly<NodeJS.ProcessEnv>;
  /** For tests without namespaces. */
  inspectNetns?: (path: string) => Promise<NetnsState>;
}

/** The name of a pod's interface, which cri-dockerd and kubelet's stats expect. */
export const podIfName = "eth0";
/** For all plugins: new pods wait for it. */
const gcTimeoutMs = 30_000;

export function createNetwork(options: NetworkOptions): Network {
  const confDir = options.confDir ?? "/etc/cni/net.d";
  const binDirs = options.binDirs ?? ["/opt/cni/bin", "/usr/lib/cni"];
  const { log, clock } = options;
  const netnsState = options.inspectNetns ?? inspectNetns;
  const { environment = process.env } = options;
  const plugins = createPluginRunner({ binDirs, clock, log, environment });
  const source = createConfigSource({ confDir, binDirs, plugins, clock });
  const delSource = createConfigSource({ confDir, binDirs, plugins, clock, forDel: true });
  const chain = createChain({ plugins, clock, log, deadlineMs: options.deadlineMs ?? 220_000 });
  const probe = createStatusProbe({ chain, clock, log });
  const gate = new GcGate();
  let podCidrs: string[] = [];

  let loggedWarning = "";

  const current = async (): Promise<ConfigLookup> => {
    const lookup = await source.current();
    const warning = lookup.config === undefined ? "" : configWarning(lookup.config);
    if (warning !== loggedWarning && warning !== "") log.warn({}, warning);
    loggedWarning = warning;
    return lookup;
  };

  const missingRange = (config: UsableConfig): string | undefined =>
    podCidrs.length === 0 && config.plugins.some(needsPodRanges)
      ? `network ${config.name} takes its ranges from the node's pod CIDR, which is not known yet: ` +
        "the kubelet sends it, or --pod-cidr sets it"
      : undefined;

  const usableConfig = async (): Promise<UsableConfig> => {
    const { config, problem } = await current();
    if (config === undefined) throw new CriError("Unavailable", `pod network: ${problem}`);
    const missing = missingRange(config);
    if (missing !== undefined) throw new CriError("Unavailable", `pod network: ${missing}`);
    return config;
  };

  /** What plugins get as the namespace: never one that is gone, never the host's own. */
  const netnsForDel = async (netns: NetnsNow): Promise<string> => {
    const path = await pathNow(netns);
    return (await netnsState(path)) === "pod" ? path : "";
  };

  const warnOfUndeclared = (config: UsableConfig, request: SetUpRequest): void => {
    const about = { network: config.name, podId: request.containerId };
    const ports = request.portMappings.some(({ hostPort }) => hostPort !== 0);
    if (ports && !chainDeclares(config.plugins, "portMappings")) {
      log.warn(about, "no CNI plugin declares portMappings: host ports are left to the network");
    }
    if (request.bandwidth !== undefined && !chainDeclares(config.plugins, "bandwidth")) {
      log.warn(about, "no CNI plugin declares bandwidth: the pod's limits have no effect");
    }
  };

  const tearDown = async (
    attachment: NetworkAttachment,
    netns: NetnsNow,
    giveUp = false,
  ): Promise<void> => {
    if (attachment.result === undefined) {
      const ended = await endOrphanedPlugins(attachment.containerId);
      const about = { podId: attachment.containerId, ended };
      if (ended > 0) log.warn(about, "ended plugins that were left running by an earlier process");
    }
    const givenUp = await gate.attach(() =>
      chain.del(attachment, () => netnsForDel(netns), giveUp),
    );
    for (const failure of givenUp) {
      const given = givenUpOf(attachment, failure);
      log.warn(lineOf(given), "CNI DEL is given up: the plugin may still hold the addresses");
      await options.givenUp?.(given);
    }
  };

  const legacyPods = createLegacyPods({
    cacheDir: options.legacyCacheDir ?? "/var/lib/cni/cache",
    ifName: podIfName,
    log,
    currentConfig: () => delSource.current(),
    podCidrs: () => podCidrs,
    netnsForDel,
    tearDown,
  });

  return {
    status: async () => {
      const notReady = (message: string): NetworkStatus => ({
        ready: false,
        reason: "NetworkPluginNotReady",
        message,
      });
      try {
        const { config, problem } = await current();
        if (config === undefined) return notReady(problem);
        const trouble = missingRange(config) ?? (await probe.trouble(config));
        if (trouble !== undefined) return notReady(trouble);
        const { notes } = config;
        const message = configWarning(config);
        return { ready: true, reason: "", message, ...(notes.length === 0 ? {} : { notes }) };
      } catch (error) {
        return notReady(errorText(error));
      }
    },

    source: async () => sourceOf(await current(), { confDir, binDirs, podCidrs }),

    setUp: async (request) => {
      if (!isCniName(request.containerId)) {
        throw new CriError("InvalidArgument", "pod network: not a valid container id");
      }
      const config = await usableConfig();
      const attachment: NetworkAttachment = {
        networkName: config.name,
        cniVersion: config.cniVersion,
        ifName: podIfName,
        containerId: request.containerId,
        netns: request.netns,
        plugins: config.plugins,
        disableCheck: config.disableCheck,
        args: podCniArgs(request),
        capabilityArgs: capabilityArgs({
          ...request,
          // They may be 256 KiB, which a record need not hold for nobody.
          annotations: chainDeclares(config.plugins, annotationsCapability)
            ? request.annotations
            : undefined,
          podCidrs,
          aliases: request.aliases ?? [request.podName],
        }),
        ips: [],
      };
      const check = async (): Promise<void> => {
        const isPods = (await netnsState(request.netns)) === "pod";
        if (isPods && ((await request.isOurs?.()) ?? true)) return;
        const about = { plugin: "chain", verb: "ADD", failure: "result" as const };
        throw new CniError(about, `${request.netns} is not the network namespace of the pod`);
      };
      await check();
      warnOfUndeclared(config, request);
      await request.beforeAdd(attachment);
      return await gate.attach(() => chain.add(attachment, request.signal, check));
    },

    tearDown,
    tearDownLegacy: (pod, giveUp) => legacyPods.tearDown(pod, giveUp),
    legacyAttachment: (containerId) => legacyPods.attachment(containerId),

    gc: async (valid) => {
      const config = await usableConfig();
      const { name, cniVersion, disableGc } = config;
      if (disableGc) return `network ${name} has disableGC set`;
      if (!versionAtLeast(cniVersion, "1.1.0")) {
        return `network ${name} is spoken to in CNI ${cniVersion}; GC came with 1.1.0`;
      }
      await gate.collect(async () => {
        const others = await otherAttachments(options.otherCacheDir ?? "/var/lib/cni", name);
        const attachments = [...(await valid()), ...others].map((one) => ({
          containerID: one.containerId,
          ifname: one.ifName,
        }));
        // The second key is the one that the spec's first text had and plugins still read.
        const extra = {
          "cni.dev/valid-attachments": attachments,
          "cni.dev/attachments": attachments,
        };
        await chain.forNetwork("GC", config, extra, gcTimeoutMs);
      });
      return undefined;
    },

    setPodCidr: (cidr) => {
      const parsed = parsePodCidr(cidr);
      if (parsed.length > 0) podCidrs = parsed;
    },

    // Nothing is held between calls: the folder is looked at when it is asked about.
    close: () => undefined,
  };
}
