import type { Logger } from "../log.ts";
import type { Clock } from "../sys/clock.ts";
import type { NetworkAttachment } from "./attachment.ts";
import { formatCniArgs } from "./cni-args.ts";
import { CniError, unknownContainerCode } from "./cni-error.ts";
import { declaredCapabilities, versionAtLeast } from "./conflist.ts";
import type { JsonObject, PluginConfig } from "./conflist.ts";
import type { CniVerb, PluginRunner } from "./plugin.ts";
import { parseResult, podIps } from "./result.ts";

/** Runs the plugins of one network in the order of the spec (section 3). */
export interface Chain {
  /** The attachment with its result and addresses. Throws CniError; nothing is undone. */
  add(attachment: NetworkAttachment, signal?: AbortSignal): Promise<NetworkAttachment>;
  /** Succeeds also when there is nothing left to remove. `netns` is "" when it is gone. */
  del(attachment: NetworkAttachment, netns: string): Promise<void>;
  check(attachment: NetworkAttachment, netns: string): Promise<void>;
  /** STATUS and GC, which concern the network and no pod; the first failure is thrown. */
  forNetwork(
    verb: "STATUS" | "GC",
    network: { name: string; cniVersion: string; plugins: readonly PluginConfig[] },
    extra: JsonObject,
    timeoutMs: number,
  ): Promise<void>;
}

export function createChain(options: {
  plugins: Pick<PluginRunner, "run">;
  clock: Clock;
  log: Logger;
  /** For a whole chain, in ms. */
  deadlineMs: number;
}): Chain {
  const { clock, log } = options;

  /** One budget for all plugins of a chain, so that four slow ones do not take four times as long. */
  const budget = (): (() => number) => {
    const endMs = clock.monotonicMs() + options.deadlineMs;
    return () => Math.max(1, Math.ceil(endMs - clock.monotonicMs()));
  };

  const runOne = async (
    verb: CniVerb,
    attachment: NetworkAttachment,
    plugin: PluginConfig,
    call: { netns: string; prevResult?: JsonObject; timeoutMs: number; signal?: AbortSignal },
  ): Promise<string> =>
    await options.plugins.run({
      type: plugin.type,
      verb,
      parameters: {
        containerId: attachment.containerId,
        netns: call.netns,
        ifName: attachment.ifName,
        args: formatCniArgs(attachment.args),
      },
      config: requestConfig(plugin, attachment, call.prevResult),
      timeoutMs: call.timeoutMs,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });

  return {
    add: async (attachment, signal) => {
      const left = budget();
      let result: JsonObject | undefined;
      for (const plugin of attachment.plugins) {
        const stdout = await runOne("ADD", attachment, plugin, {
          netns: attachment.netns,
          timeoutMs: left(),
          ...(result === undefined ? {} : { prevResult: result }),
          ...(signal === undefined ? {} : { signal }),
        });
        result = parseResult(plugin.type, stdout, attachment.cniVersion);
      }
      const last = attachment.plugins.at(-1)?.type ?? "chain";
      const ips = result === undefined ? [] : podIps(result, attachment.ifName, last);
      if (result === undefined || ips.length === 0) {
        // The kubelet takes a pod without an address for a changed one and builds it anew for ever.
        throw new CniError(
          { plugin: last, verb: "ADD", failure: "result" },
          "its result gives the pod no IP address",
        );
      }
      return { ...attachment, result, ips };
    },

    del: async (attachment, netns) => {
      const left = budget();
      for (const plugin of attachment.plugins.toReversed()) {
        try {
          await runOne("DEL", attachment, plugin, {
            netns,
            timeoutMs: left(),
            ...previousResult(attachment),
          });
        } catch (error) {
          if (!isAlreadyGone(error, netns)) throw error;
          log.debug({ err: error, containerId: attachment.containerId }, "nothing left for a DEL");
        }
      }
    },

    check: async (attachment, netns) => {
      if (attachment.disableCheck || !versionAtLeast(attachment.cniVersion, "0.4.0")) return;
      const left = budget();
      for (const plugin of attachment.plugins) {
        await runOne("CHECK", attachment, plugin, {
          netns,
          timeoutMs: left(),
          ...previousResult(attachment),
        });
      }
    },

    forNetwork: async (verb, network, extra, timeoutMs) => {
      let failure: unknown;
      for (const plugin of network.plugins) {
        const config = { ...plainConfig(plugin), ...extra };
        try {
          await options.plugins.run({
            type: plugin.type,
            verb,
            parameters: {},
            config: { ...config, name: network.name, cniVersion: network.cniVersion },
            timeoutMs,
          });
        } catch (error) {
          // GC must reach every plugin whatever the others say; for STATUS one "no" is enough.
          if (verb === "STATUS") throw error;
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure as Error;
    },
  };
}

/** Before 0.4.0 a plugin got no previous result at DEL, and strict ones refuse one. */
function previousResult(attachment: NetworkAttachment): { prevResult?: JsonObject } {
  if (attachment.result === undefined) return {};
  return versionAtLeast(attachment.cniVersion, "0.4.0") ? { prevResult: attachment.result } : {};
}

/** A plugin object without the keys that belong to the runtime. */
function plainConfig(plugin: PluginConfig): JsonObject {
  return Object.fromEntries(
    Object.entries(plugin).filter(
      ([key]) =>
        !["capabilities", "runtimeConfig", "prevResult"].includes(key) &&
        !key.startsWith("cni.dev/"),
    ),
  );
}

/** The request configuration: the plugin's own keys plus those that the spec has the runtime set. */
function requestConfig(
  plugin: PluginConfig,
  attachment: NetworkAttachment,
  prevResult: JsonObject | undefined,
): JsonObject {
  const capabilities = declaredCapabilities(plugin).filter((name) =>
    Object.hasOwn(attachment.capabilityArgs, name),
  );
  return {
    ...plainConfig(plugin),
    name: attachment.networkName,
    cniVersion: attachment.cniVersion,
    ...(capabilities.length === 0
      ? {}
      : {
          runtimeConfig: Object.fromEntries(
            capabilities.map((name) => [name, attachment.capabilityArgs[name]]),
          ),
        }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

/**
 * A DEL that only says that there is nothing to delete. Plugins should not fail then, and yet some
 * do when the namespace is gone, which would leave the pod Terminating for ever. A plugin that could
 * not even be started has deleted nothing, whatever the words of the error.
 */
function isAlreadyGone(error: unknown, netns: string): boolean {
  if (!(error instanceof CniError)) return false;
  if (error.code === unknownContainerCode) return true;
  if (netns !== "" || (error.failure !== "plugin" && error.failure !== "protocol")) return false;
  // Only a missing namespace counts, not a missing file of the plugin's own (a kubeconfig, say).
  return (
    /CNI_NETNS/.test(error.message) ||
    (/statfs|netns|network namespace/i.test(error.message) &&
      error.message.includes("no such file or directory"))
  );
}
