import type { Logger } from "../log.ts";
import { errorText } from "../errors.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { SingleFlight } from "../sys/mutex.ts";
import type { Chain } from "./chain.ts";
import type { UsableConfig } from "./config-source.ts";
import { versionAtLeast } from "./conflist.ts";

export interface StatusProbe {
  /** Why plugins of spec 1.1 say that they cannot serve pods; undefined if they can. */
  trouble(config: UsableConfig): Promise<string | undefined>;
}

const cacheMs = 10_000;
/** A plugin that hangs must not hold the Status call, which the kubelet needs within seconds. */
const timeoutMs = 5_000;
/** Plugins that have been ready may stumble this long before the node is said to be NotReady. */
const graceMs = 15_000;

export function createStatusProbe(options: {
  chain: Pick<Chain, "forNetwork">;
  clock: Clock;
  log: Logger;
}): StatusProbe {
  const { chain, clock, log } = options;
  const flight = new SingleFlight<string | undefined>();
  let last: { key: string; atMs: number; trouble: string | undefined } | undefined;
  let readySince: { key: string; lastReadyMs: number } | undefined;

  const ask = async (config: UsableConfig): Promise<string | undefined> => {
    try {
      await outsideCall(() => chain.forNetwork("STATUS", config, {}, timeoutMs));
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  };

  const probe = async (config: UsableConfig, key: string): Promise<string | undefined> => {
    if (last?.key === key && clock.monotonicMs() - last.atMs < cacheMs) return last.trouble;
    const answer = await ask(config);
    const nowMs = clock.monotonicMs();
    let trouble = answer;
    if (answer === undefined) readySince = { key, lastReadyMs: nowMs };
    else if (readySince?.key === key && nowMs - readySince.lastReadyMs < graceMs) {
      log.warn({ network: config.name, answer }, "CNI STATUS failed, waiting before NotReady");
      trouble = undefined;
    }
    last = { key, atMs: nowMs, trouble };
    return trouble;
  };

  return {
    trouble: async (config) => {
      if (!versionAtLeast(config.cniVersion, "1.1.0")) return undefined;
      const key = `${config.file} ${JSON.stringify(config.plugins)}`;
      return await flight.run(key, () => probe(config, key));
    },
  };
}
