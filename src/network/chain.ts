import type { Logger } from "../log.ts";
import { waiting } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { NetworkAttachment } from "./attachment.ts";
import { formatCniArgs } from "./cni-args.ts";
import { CniError, tryAgainCode, unknownContainerCode } from "./cni-error.ts";
import { declaredCapabilities, versionAtLeast } from "./conflist.ts";
import type { JsonObject, PluginConfig } from "./conflist.ts";
import type { CniVerb } from "./plugin-environment.ts";
import type { PluginRunner } from "./plugin.ts";
import { parseResult, podIps } from "./result.ts";

/**
 * For how long DEL has to fail before a program that is in no folder is believed to stay away, or a DEL that fails
 * to have nothing to undo.
 */
const absentMs = 60_000;

/** What each plugin has at least once another one's DEL was given up. */
const laterPluginMs = 20_000;

/** What a plugin that says "try again later" is given; the kubelet's next call comes many seconds later. */
const tryAgainMs = 1_000;

interface OneCall {
  /** Asked right before the plugin runs. */
  netns: () => Promise<string>;
  prevResult?: JsonObject;
  /** What is left of the chain's time, in ms. */
  left: () => number;
  signal?: AbortSignal;
}

/** Runs the plugins of one network in the order of the spec (section 3). */
export interface Chain {
  /**
   * The attachment with its result and addresses. `check` is awaited before each plugin and ends the
   * chain when it rejects. Throws CniError; nothing is undone.
   */
  add(
    attachment: NetworkAttachment,
    signal?: AbortSignal,
    check?: () => Promise<void>,
  ): Promise<NetworkAttachment>;
  /**
   * Succeeds also when there is nothing left to remove. `netns` is asked before each plugin where the
   * namespace is: "" when it is gone. Returns the failures that were given up; with `giveUp` all of them are.
   */
  del(
    attachment: NetworkAttachment,
    netns: () => Promise<string>,
    giveUp?: boolean,
  ): Promise<CniError[]>;
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

  /** When DEL first failed, by container and network; a restart starts over. */
  const failingSince = new Map<string, number>();

  /** One budget for all plugins of a chain, so that four slow ones do not take four times as long. */
  const budget = (forMs = options.deadlineMs): (() => number) => {
    const endMs = clock.monotonicMs() + forMs;
    return () => Math.max(1, Math.ceil(endMs - clock.monotonicMs()));
  };

  const runOnce = async (
    verb: CniVerb,
    attachment: NetworkAttachment,
    plugin: PluginConfig,
    call: OneCall,
  ): Promise<string> => {
    const netns = await call.netns();
    return await options.plugins.run({
      type: plugin.type,
      verb,
      parameters: {
        containerId: attachment.containerId,
        netns,
        ifName: attachment.ifName,
        args: formatCniArgs(attachment.args),
      },
      config: requestConfig(plugin, attachment, call.prevResult),
      timeoutMs: call.left(),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
  };

  /** Once more for a plugin that asks for it. */
  const runOne = async (
    verb: "ADD" | "DEL",
    attachment: NetworkAttachment,
    plugin: PluginConfig,
    call: OneCall,
  ): Promise<string> => {
    try {
      return await runOnce(verb, attachment, plugin, call);
    } catch (error) {
      const asked = error instanceof CniError && error.code === tryAgainCode;
      if (!asked || call.left() <= tryAgainMs) throw error;
      const { containerId } = attachment;
      log.info({ podId: containerId, error: error.message }, "a CNI plugin is tried again");
      await waiting(`${plugin.type} asks to be tried again`, () =>
        clock.sleep(tryAgainMs, call.signal),
      );
      // The spec lets no second ADD run without a DEL between.
      if (verb === "ADD") {
        await runOnce("DEL", attachment, plugin, call).catch(() => {
          throw error;
        });
      }
      return await runOnce(verb, attachment, plugin, call);
    }
  };

  return {
    add: async (attachment, signal, check) => {
      const left = budget();
      const netns = async (): Promise<string> => {
        await check?.();
        return attachment.netns;
      };
      let result: JsonObject | undefined;
      for (const plugin of attachment.plugins) {
        const stdout = await runOne("ADD", attachment, plugin, {
          netns,
          left,
          ...(result === undefined ? {} : { prevResult: result }),
          ...(signal === undefined ? {} : { signal }),
        });
        result = parseResult(plugin.type, stdout, attachment.cniVersion);
      }
      const last = attachment.plugins.at(-1)?.type ?? "chain";
      const ips = result === undefined ? [] : podIps(result, attachment.ifName, last);
      if (result === undefined || ips.length === 0) {
        // The kubelet treats a pod without an address as changed and recreates it forever.
        throw new CniError(
          { plugin: last, verb: "ADD", failure: "result" },
          "its result gives the pod no IP address",
        );
      }
      return { ...attachment, result, ips };
    },

    del: async (attachment, findNetns, giveUp = false) => {
      const left = budget();
      let netns = "";
      const givenUp: CniError[] = [];
      const key = `${attachment.containerId} ${attachment.networkName}`;
      const nowMs = clock.monotonicMs();
      const failingMs = nowMs - (failingSince.get(key) ?? nowMs);
      for (const plugin of attachment.plugins.toReversed()) {
        try {
          await runOne("DEL", attachment, plugin, {
            netns: async () => (netns = await findNetns()),
            // One that hung and was given up must not cost the others their turn.
            left: () => (givenUp.length === 0 ? left() : Math.max(left(), laterPluginMs)),
            ...previousResult(attachment),
          });
        } catch (error) {
          if (isAlreadyGone(error, netns)) {
            const { containerId } = attachment;
            log.debug({ err: error, podId: containerId }, "nothing left for a DEL");
          } else if (
            error instanceof CniError &&
            (giveUp || isHopeless(error, attachment, netns, failingMs))
          ) {
            // The other plugins still get their DEL.
            givenUp.push(error);
          } else {
            if (!failingSince.has(key)) failingSince.set(key, clock.monotonicMs());
            throw error;
          }
        }
      }
      failingSince.delete(key);
      return givenUp;
    },

    forNetwork: async (verb, network, extra, timeoutMs) => {
      let failure: unknown;
      const left = budget(timeoutMs);
      for (const plugin of network.plugins) {
        const config = { ...plainConfig(plugin), ...extra };
        try {
          await options.plugins.run({
            type: plugin.type,
            verb,
            parameters: {},
            config: { ...config, name: network.name, cniVersion: network.cniVersion },
            timeoutMs: left(),
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
 * do when the namespace is gone, which would leave the pod Terminating forever. A plugin that could
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

/**
 * A DEL that cannot be expected to work any more: the pod's side went with its namespace, and either
 * ADD has failed, or there is no such plugin on the node. Repeating it would keep the pod Terminating forever.
 * Where Dockline was killed before it could note how ADD ended, ADD may have given an address: DEL has a minute
 * then to work after all. A result that is only lost says nothing: ADD may have completed weeks ago.
 * A program that is in no folder may be about to be installed: after a reboot pods end before that.
 */
function isHopeless(
  error: CniError,
  attachment: NetworkAttachment,
  netns: string,
  failingMs: number,
): boolean {
  if (netns !== "") return false;
  const isLate = failingMs >= absentMs;
  const maybeAdded = attachment.addFailed !== true && !isLate;
  const neverAdded =
    attachment.result === undefined && attachment.addUnknown !== true && !maybeAdded;
  // A node without a process to spare, or a program that is being replaced, is no answer of a plugin.
  const hasRun = error.failure !== "spawn" && error.failure !== "missing";
  return (neverAdded && hasRun) || (error.absent && isLate);
}
