import { isEditingRuntime } from "../convert/runtime-handler.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError } from "../errors.ts";
import type { EngineSelf, InfoCache } from "../engine/info-cache.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { CgroupDriver } from "../gen/runtime/v1/api_pb.js";
import type { ContainerIndex } from "../index/container-index.ts";
import type { ForwardPolicy } from "../network/forward-policy.ts";
import type { Network } from "../network/network.ts";
import type { Clock } from "../sys/clock.ts";
import { version } from "../version.ts";

export interface StatusDeps {
  index: Pick<ContainerIndex, "health" | "counters">;
  info: InfoCache;
  network: Network;
  forwardPolicy(): Promise<ForwardPolicy>;
  /** Lowest oom_score_adj that this host lets us set; 0 where CAP_SYS_RESOURCE is missing. */
  oomScoreFloor: number;
  /** More facts for `crictl info`: name → JSON text. */
  verboseInfo(): Record<string, unknown>;
  /** Resolves once the next two can tell, or soon in any case. */
  featuresKnown(self: EngineSelf): Promise<void>;
  /** The handlers' recursive read-only and user namespace support. */
  handlerFeatures(
    handler: string,
    self: EngineSelf,
  ): { recursiveReadOnlyMounts: boolean; userNamespaces: boolean };
  /** Mounts' own options (noexec, …) are honoured under the default handler. */
  mountOptions(self: EngineSelf): boolean;
  clock: Clock;
}

/** A kubelet that starts before Docker needs an answer: no engine version is known yet then. */
const unknownEngineVersion = "0.0.0";

/** Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
export function runtimeStatus(
  deps: StatusDeps,
): Pick<
  Handlers<typeof RuntimeService>,
  "version" | "status" | "runtimeConfig" | "updateRuntimeConfig"
> {
  return {
    version: () => {
      const self = deps.info.peek();
      return Promise.resolve({
        version: "0.1.0",
        // Kept from dockershim: agents key on container ids of the form docker://….
        runtimeName: "docker",
        runtimeVersion: self?.version.Version ?? unknownEngineVersion,
        runtimeApiVersion: `1.${self?.apiMinor ?? 41}.0`,
      });
    },
    status: async (request) => {
      const self = deps.info.peek();
      const [network, forward] = await Promise.all([
        deps.network.status(),
        deps.forwardPolicy(),
        self === undefined ? undefined : deps.featuresKnown(self),
      ]);
      const { engineReady, reason } = deps.index.health;
      const health = deps.index.health;
      return {
        status: {
          conditions: [
            {
              type: "RuntimeReady",
              status: engineReady,
              reason: engineReady ? "" : "DockerDaemonNotReady",
              message: engineReady ? "" : reason,
            },
            {
              type: "NetworkReady",
              status: network.ready,
              reason: network.ready ? "" : network.reason,
              message: network.ready ? "" : network.message,
            },
            ...forwardCondition(forward),
          ],
        },
        runtimeHandlers: self === undefined ? [] : handlers(self, deps),
        features: {
          supplementalGroupsPolicy: true,
          userNamespacesHostNetwork: false,
          mountOptions: self !== undefined && deps.mountOptions(self),
        },
        info: request.verbose
          ? verbose({
              dockline: { version, index: { ...health, ...deps.index.counters } },
              engine: self === undefined ? null : engineFacts(self),
              oomScoreAdj:
                deps.oomScoreFloor > -1000
                  ? {
                      floor: deps.oomScoreFloor,
                      note: "lower values are clamped: no CAP_SYS_RESOURCE",
                    }
                  : { floor: -1000 },
              forwardPolicy: forward,
              ...deps.verboseInfo(),
            })
          : {},
      };
    },
    runtimeConfig: async () => {
      const driver = (await deps.info.get()).info.CgroupDriver;
      if (driver === "systemd") return { linux: { cgroupDriver: CgroupDriver.SYSTEMD } };
      if (driver === "cgroupfs") return { linux: { cgroupDriver: CgroupDriver.CGROUPFS } };
      throw new CriError(
        "FailedPrecondition",
        `the engine's cgroup driver is ${JSON.stringify(driver)}; the kubelet needs systemd or cgroupfs`,
      );
    },
    updateRuntimeConfig: (request) => {
      const cidr = request.runtimeConfig?.networkConfig?.podCidr ?? "";
      if (cidr !== "") deps.network.setPodCidr(cidr);
      return Promise.resolve({});
    },
  };
}

/** The kubelet looks at the two standard conditions only; `crictl info` and operators see this one. */
function forwardCondition(
  forward: ForwardPolicy,
): { type: string; status: boolean; reason: string; message: string }[] {
  if (forward.message === "") return [];
  return [
    {
      type: "PodForwarding",
      status: false,
      reason: "ForwardPolicyDrop",
      message: forward.message,
    },
  ];
}

function handlers(
  self: EngineSelf,
  deps: StatusDeps,
): { name: string; features: { recursiveReadOnlyMounts: boolean; userNamespaces: boolean } }[] {
  // "" is the default handler; the kubelet looks it up like any other name.
  const runtimes = Object.keys(self.info.Runtimes ?? {}).filter((name) => !isEditingRuntime(name));
  const names = ["", ...runtimes.sort()];
  return names.map((name) => ({
    name,
    features: deps.handlerFeatures(name === "" ? self.info.DefaultRuntime : name, self),
  }));
}

function engineFacts(self: EngineSelf): object {
  const { info, version: engine } = self;
  return {
    version: engine.Version,
    apiVersion: `1.${self.apiMinor}`,
    components: engine.Components?.map(({ Name, Version }) => `${Name} ${Version}`),
    storageDriver: info.Driver,
    rootDir: info.DockerRootDir,
    cgroupDriver: info.CgroupDriver,
    cgroupVersion: info.CgroupVersion ?? "1",
    liveRestore: info.LiveRestoreEnabled,
    defaultRuntime: info.DefaultRuntime,
    kernel: info.KernelVersion,
  };
}

function verbose(facts: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(facts).map(([key, value]) => [
      key,
      JSON.stringify(value, (_, member: unknown) =>
        typeof member === "bigint" ? String(member) : member,
      ),
    ]),
  );
}
