import { isRootless } from "../convert/engine-facts.ts";
import { isEditingRuntime } from "../convert/runtime-handler.ts";
import type { Handlers } from "../cri/bind.ts";
import { CriError } from "../errors.ts";
import type { EngineSelf, InfoCache } from "../engine/info-cache.ts";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { CgroupDriver } from "../gen/runtime/v1/api_pb.js";
import type { ContainerIndex } from "../index/container-index.ts";
import type { ForwardPolicy } from "../network/forward-policy.ts";
import type { Network } from "../network/network.ts";
import type { NetworkGc } from "../pods/network-gc.ts";
import type { PodCidrFile } from "../state/pod-cidr.ts";
import type { EngineWords, KeptEngine } from "../state/kept-engine.ts";
import { settleWithin } from "../sys/abort.ts";
import type { Clock } from "../sys/clock.ts";
import { version } from "../version.ts";

export interface StatusDeps {
  index: Pick<ContainerIndex, "health" | "counters">;
  info: InfoCache;
  keptEngine: Pick<KeptEngine, "current" | "keep">;
  network: Network;
  networkGc: Pick<NetworkGc, "run">;
  podCidr: Pick<PodCidrFile, "save">;
  forwardPolicy(): Promise<ForwardPolicy>;
  /** Lowest oom_score_adj that this host lets us set; 0 where CAP_SYS_RESOURCE is missing. */
  oomScoreFloor: number;
  /** Where container logs do not answer. */
  hungLogs(): readonly string[];
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

/** `dockline release --gc` sends it with an UpdateRuntimeConfig that says nothing. */
const gcKey = "dockline-network-gc";

/** How long a node that never had a contact waits for the first one. */
const firstContactMs = 10_000;
const betweenAttemptsMs = 250;
/** How long a Status waits for what a new connection's engine says of itself; the kubelet asks every few seconds. */
const selfMs = 2_000;

/** Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
export function runtimeStatus(
  deps: StatusDeps,
): Pick<
  Handlers<typeof RuntimeService>,
  "version" | "status" | "runtimeConfig" | "updateRuntimeConfig"
> {
  return {
    version: async (_, context) => {
      const { version: runtimeVersion, apiVersion } = await engineWords(deps, context.signal);
      return {
        version: "0.1.0",
        // Kept from dockershim: agents key on container ids of the form docker://….
        runtimeName: "docker",
        runtimeVersion,
        runtimeApiVersion: `${apiVersion}.0`,
      };
    },
    status: async (request) => {
      const self = await currentSelf(deps);
      const [network, forward] = await Promise.all([
        deps.network.status(),
        deps.forwardPolicy(),
        self === undefined ? undefined : deps.featuresKnown(self),
      ]);
      const { health } = deps.index;
      const rootless = self !== undefined && isRootless(self.info);
      const engineReady = health.engineReady && !rootless;
      const reason = rootless ? ROOTLESS : health.reason;
      return {
        status: {
          conditions: [
            {
              type: "RuntimeReady",
              status: engineReady,
              reason: engineReady ? "" : rootless ? "DockerIsRootless" : "DockerDaemonNotReady",
              message: engineReady ? "" : reason,
            },
            {
              type: "NetworkReady",
              status: network.ready,
              reason: network.ready ? "" : network.reason,
              message: network.message,
            },
            ...forwardCondition(forward),
            ...logCondition(deps.hungLogs()),
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
              dockline: {
                version,
                node: process.versions.node,
                index: { ...health, ...deps.index.counters },
              },
              network: await deps.network.source(),
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
    runtimeConfig: async (_, context) => {
      // What an engine that was restarted says now, unless it is away.
      const self = await deps.info.get().catch(() => undefined);
      if (self !== undefined && isRootless(self.info)) {
        throw new CriError("FailedPrecondition", ROOTLESS);
      }
      const driver = (await engineWords(deps, context.signal)).cgroupDriver;
      if (driver === "systemd") return { linux: { cgroupDriver: CgroupDriver.SYSTEMD } };
      if (driver === "cgroupfs") return { linux: { cgroupDriver: CgroupDriver.CGROUPFS } };
      throw new CriError(
        "FailedPrecondition",
        `the engine's cgroup driver is ${JSON.stringify(driver)}; the kubelet needs systemd or cgroupfs`,
      );
    },
    updateRuntimeConfig: async (request, context) => {
      if (context.metadata(gcKey) === "true") await deps.networkGc.run(context.signal);
      const cidr = request.runtimeConfig?.networkConfig?.podCidr ?? "";
      if (cidr === "") return {};
      deps.network.setPodCidr(cidr);
      // In force now; when it cannot be kept, the error makes the kubelet send it again.
      await deps.podCidr.save(cidr);
      return {};
    },
  };
}

/** A kubelet takes a node for ready that has not been asked yet whether it can be: asked once for each connection. */
async function currentSelf({ index, info, clock }: StatusDeps): Promise<EngineSelf | undefined> {
  if (index.health.engineReady && info.stale) {
    await settleWithin(info.get(), selfMs, clock).catch(() => undefined);
  }
  return info.peek();
}

const ROOTLESS =
  "Docker runs in rootless mode, in which pods can have neither a network of the node's nor limits; install it for root";

export function wordsOf({ version, apiMinor, info }: EngineSelf): EngineWords {
  return {
    version: version.Version,
    apiVersion: `1.${apiMinor}`,
    cgroupDriver: info.CgroupDriver,
  };
}

/**
 * What the engine says of itself, or said at the last contact: a kubelet ends when its first Version or RuntimeConfig
 * fails, and must be able to start before Docker.
 *
 * @throws Unavailable where there never was a contact, and none comes within 10 s
 */
async function engineWords(deps: StatusDeps, signal: AbortSignal): Promise<EngineWords> {
  const known = async (): Promise<EngineWords | undefined> => {
    const self = deps.info.peek();
    if (self === undefined) return deps.keptEngine.current;
    const words = wordsOf(self);
    // Before the answer: a kubelet that started once starts again before Docker, however this process ends.
    await deps.keptEngine.keep(words);
    return words;
  };
  const endMs = deps.clock.monotonicMs() + firstContactMs;
  for (;;) {
    const found = await known();
    if (found !== undefined) return found;
    const leftMs = endMs - deps.clock.monotonicMs();
    if (leftMs <= 0) break;
    // A hanging engine is given the time that is left; one that is not running refuses the connection immediately.
    await settleWithin(deps.info.get(), leftMs, deps.clock).catch(() => undefined);
    if (deps.info.peek() === undefined) await deps.clock.sleep(betweenAttemptsMs, signal);
  }
  const { reason } = deps.index.health;
  throw new CriError(
    "Unavailable",
    `Docker has not answered yet${reason === "" ? "" : `: ${reason}`}`,
  );
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

/** The same: the kubelet goes on as ever, and the logs on other disks do. */
function logCondition(
  hung: readonly string[],
): { type: string; status: boolean; reason: string; message: string }[] {
  if (hung.length === 0) return [];
  const message = `container logs wait for file systems that have not answered for 10 s: ${hung.join(", ")}`;
  return [{ type: "ContainerLogs", status: false, reason: "FileSystemHangs", message }];
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
