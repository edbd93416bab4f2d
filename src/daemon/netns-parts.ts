import type { Config } from "../config/options.ts";
import type { InfoCache } from "../engine/info-cache.ts";
import { errorText } from "../errors.ts";
import type { Logger } from "../log.ts";
import { PodNamespaces } from "../network/pod-namespaces.ts";
import { collectNamespaces } from "../pods/netns-gc.ts";
import { OwnNetns } from "../pods/own-netns.ts";
import { NetnsOwners } from "../state/netns-owners.ts";
import type { SandboxRecords } from "../state/sandbox-records.ts";
import type { Clock } from "../sys/clock.ts";

/** The network namespaces that Dockline makes for pods. */
export interface NetnsParts {
  own: OwnNetns;
  /** Once after the start, and when a removal has failed: those that no pod has are removed. Never rejects. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export function buildNetns(deps: {
  config: Pick<Config, "stateDir" | "podNetns">;
  info: Pick<InfoCache, "peek">;
  records: Pick<SandboxRecords, "all">;
  clock: Clock;
  log: Logger;
}): NetnsParts {
  const { config, info, records, clock, log } = deps;
  const namespaces = new PodNamespaces();
  const owners = new NetnsOwners(config.stateDir, log);
  const own = new OwnNetns({
    namespaces,
    owners,
    isOn: config.podNetns === "own",
    engine: () => {
      const found = info.peek()?.info;
      return found === undefined ? "" : `${found.ID} ${found.ServerVersion}`;
    },
    clock,
    log,
  });
  const isInUse = (): boolean => records.all().some(({ ownNetns }) => ownNetns !== undefined);
  let isCollecting = false;
  own.hasLeft = true;
  return {
    own,
    settle: async () => {
      if (isCollecting || !own.hasLeft) return;
      isCollecting = true;
      own.hasLeft = false;
      try {
        // Of this process, so that another Dockline knows that the pods are somebody's.
        if (isInUse()) await owners.add();
        if (!(await collectNamespaces({ namespaces, owners, log }))) own.hasLeft = true;
      } catch (error) {
        log.warn({ error: errorText(error) }, "network namespaces will be collected later");
        own.hasLeft = true;
      } finally {
        isCollecting = false;
      }
    },
    close: () => owners.close(isInUse()),
  };
}
