import { join } from "node:path";
import type { Config } from "./config/options.ts";
import { lookupReference, pullTarget } from "./convert/image-ref.ts";
import { credentialsIn } from "./convert/docker-config.ts";
import { mirroredDigests, mirroredRepositories, parseMirrors } from "./convert/mirrors.ts";
import type { Mirrors } from "./convert/mirrors.ts";
import type { EngineFacts } from "./convert/engine-facts.ts";
import type { RequestInfo } from "./engine/call.ts";
import { createDockerEngine } from "./engine/docker-engine.ts";
import type { DockerEngine } from "./engine/docker-engine.ts";
import { InfoCache } from "./engine/info-cache.ts";
import type { EngineSelf } from "./engine/info-cache.ts";
import { createImageVolumes } from "./images/image-volumes.ts";
import type { ImageVolumes } from "./images/image-volumes.ts";
import { createAccountReader } from "./images/accounts.ts";
import type { AccountFiles } from "./images/accounts.ts";
import { createCredentialFile } from "./images/credential-file.ts";
import { createImagePuller } from "./images/mirrored-pull.ts";
import type { ImagePuller } from "./images/mirrored-pull.ts";
import { createPauseImage } from "./images/ensure-pause.ts";
import { pauseImageArchive } from "./images/pause-image.ts";
import { pauseProgram } from "./images/pause-program.ts";
import { createPuller } from "./images/pull.ts";
import type { Puller } from "./images/pull.ts";
import type { ContainerIndex } from "./index/container-index.ts";
import { createContainerIndex } from "./index/create-index.ts";
import { EventsFeed } from "./index/events-feed.ts";
import type { Logger } from "./log.ts";
import { createContainerLogs } from "./logs/pumps.ts";
import { createForwardPolicySource } from "./network/forward-policy.ts";
import type { ForwardPolicySource } from "./network/forward-policy.ts";
import { createNetwork } from "./network/network.ts";
import type { LogChoice } from "./rpc/container-start.ts";
import { SandboxSetups } from "./rpc/deps.ts";
import type { PodDeps } from "./rpc/deps.ts";
import { EditingRuntimes } from "./rpc/editing-runtimes.ts";
import { LogDrains } from "./rpc/log-drains.ts";
import { engineFacts } from "./rpc/node-facts.ts";
import { missingCapabilities } from "./rpc/host-capabilities.ts";
import { oomScoreFloor } from "./rpc/oom-score.ts";
import { Views } from "./rpc/views.ts";
import { buildStats } from "./stats-parts.ts";
import type { StatsParts } from "./stats-parts.ts";
import { EditsFolder } from "./state/edits-folder.ts";
import { ResourceUpdates } from "./state/resource-updates.ts";
import { SandboxRecords } from "./state/sandbox-records.ts";
import { buildStreaming } from "./streaming-parts.ts";
import type { StreamingParts } from "./streaming-parts.ts";
import { systemClock } from "./sys/clock.ts";
import { KernelLog } from "./sys/kernel-log.ts";
import { KeyedMutex } from "./sys/mutex.ts";

/** Everything that lives as long as the daemon. */
export interface Parts extends PodDeps, StreamingParts {
  config: Config;
  engine: DockerEngine;
  index: ContainerIndex;
  feed: EventsFeed;
  views: Views;
  drains: LogDrains;
  resources: ResourceUpdates;
  puller: Puller;
  imagePuller: ImagePuller;
  mirrors: Mirrors;
  stats: StatsParts;
  /** Told of each request to the engine that has ended. */
  requestListeners: Set<(request: RequestInfo) => void>;
  forward: ForwardPolicySource;
  logChoice: LogChoice;
  oomFloor: number;
  factsNow(): EngineFacts;
  factsOf(self: EngineSelf): EngineFacts;
  editing: EditingRuntimes;
  imageAccounts(imageId: string): Promise<AccountFiles>;
  volumes: ImageVolumes;
  close(): Promise<void>;
}

/** The composition root: the only place where parts meet. Nothing is asked of Docker yet. */
export async function buildParts(config: Config, log: Logger): Promise<Parts> {
  const clock = systemClock;
  const records = await SandboxRecords.open(config.stateDir, log);
  const resources = await ResourceUpdates.open(config.stateDir);
  const edits = await EditsFolder.open(config.runDir);
  const requestListeners: Parts["requestListeners"] = new Set();
  const engine = createDockerEngine({
    endpoint: config.dockerEndpoint,
    log,
    requestTimeoutMs: config.runtimeRequestTimeout,
    onRequest: (request) => {
      for (const listener of requestListeners) listener(request);
    },
  });
  const kernelLog = new KernelLog();
  const oomKilled = (id: string): boolean => kernelLog.oomKilled(id);
  const mirrors = parseMirrors(config.registryMirrors);
  const index = createContainerIndex({
    engine,
    clock,
    log,
    oomKilled,
    imageAliases: (image) => mirroredDigests(mirrors, image),
  });
  const info = new InfoCache({ engine, generation: () => index.counters.resyncs });
  const stats = buildStats({ index, engine: () => info.peek(), clock, log });
  const network = createNetwork({
    confDir: config.cniConfDir,
    binDirs: config.cniBinDir,
    legacyCacheDir: config.cniCacheDir,
    log,
    clock,
  });
  if (config.podCidr !== "") network.setPodCidr(config.podCidr);
  const logs = createContainerLogs({ stateDir: config.stateDir, clock, log, resumes: true });
  const puller = createPuller({
    engine,
    clock,
    progressDeadlineMs: config.imagePullProgressDeadline,
  });
  const imagePuller = createImagePuller({
    puller,
    engine,
    mirrorsOf: (repository) => mirroredRepositories(mirrors, repository),
    credentials: createCredentialFile({
      path: config.registryAuthFile,
      parse: credentialsIn,
      log,
    }),
    log,
  });
  const oomFloor = oomScoreFloor();
  const nodeOptions = {
    logMaxSize: config.containerLogMaxSize,
    logMaxFiles: config.containerLogMaxFiles,
    shimPerPod: !config.shimPerContainer,
    oomScoreFloor: oomFloor,
    missingCapabilities: missingCapabilities(),
  };
  const editing = new EditingRuntimes({
    folder: edits,
    layers: () => stats.layerFolder(),
    clock,
    log,
  });
  const unsubscribe = index.onEvent(({ Type }) => {
    if (Type === "daemon") info.outdate();
  });
  const factsOf = (self: EngineSelf): EngineFacts =>
    engineFacts(self, nodeOptions, editing.peek(self).runtimes);
  const factsNow = unchanged(
    () => {
      const self = info.peek() ?? unknownEngine;
      return [self, editing.peek(self)] as const;
    },
    ([self]) => factsOf(self),
  );
  const views = new Views({ index, records, resources, network, factsNow });
  const drains = new LogDrains(logs, index);
  const setups = new SandboxSetups(Number(process.env["DOCKLINE_ABANDONED_MS"] ?? 120_000));
  const feed = new EventsFeed({ index, log, setUp: (name) => setups.ended(name) });
  const { streaming, endExec } = buildStreaming({ config, engine, index, records, clock, log });
  return {
    config,
    engine,
    index,
    records,
    resources,
    network,
    logs,
    info,
    edits,
    editing,
    puller,
    imagePuller,
    mirrors,
    views,
    drains,
    feed,
    streaming,
    endExec,
    stats,
    requestListeners,
    clock,
    log,
    oomFloor,
    factsNow,
    factsOf,
    facts: async () => {
      const self = await info.get();
      await editing.of(self);
      return factsOf(self);
    },
    forward: createForwardPolicySource({ clock, log }),
    pause: pauseImage(config, { engine, imagePuller, index, log }),
    imageAccounts: createAccountReader(engine),
    volumes: await createImageVolumes({
      engine,
      stateDir: config.stateDir,
      usedBy: async () =>
        new Set(
          (await index.containers()).flatMap(({ identity }) => identity.extra.imageVolumes ?? []),
        ),
      log,
    }),
    logChoice: {
      format: config.containerLogFormat === "docker-json" ? "docker-json" : "cri",
      sourcePath: async (id) =>
        join((await info.get()).info.DockerRootDir, "containers", id, `${id}-json.log`),
    },
    locks: new KeyedMutex(),
    setups,
    close: async () => {
      unsubscribe();
      await streaming.close(1000);
      feed.close();
      await stats.close();
      await index.close();
      kernelLog.close();
      await logs.close();
      network.close();
      engine.close();
    },
  };
}

function pauseImage(
  config: Config,
  deps: { engine: DockerEngine; imagePuller: ImagePuller; index: ContainerIndex; log: Logger },
): PodDeps["pause"] {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const { repository, tagOrDigest } = pullTarget(config.podInfraContainerImage);
  return createPauseImage({
    ...deps,
    reference: lookupReference(config.podInfraContainerImage),
    target: { repository, tagOrDigest },
    archive: async (reference) =>
      pauseImageArchive({ binary: await pauseProgram(architecture), architecture, reference }),
    onChanged: () => deps.index.images.touched(),
    pullBudgetMs: 30_000,
  });
}

/** Before the first contact: only shown, never acted on. */
const unknownEngine: EngineSelf = {
  apiMinor: 41,
  version: { Version: "", ApiVersion: "1.41", Os: "linux", Arch: "", KernelVersion: "" },
  info: {
    ID: "",
    ServerVersion: "",
    Driver: "",
    DriverStatus: null,
    DockerRootDir: "/var/lib/docker",
    CgroupDriver: "cgroupfs",
    KernelVersion: "",
    OperatingSystem: "",
    Architecture: "",
    NCPU: 0,
    MemTotal: 0,
    LoggingDriver: "",
    LiveRestoreEnabled: false,
    SecurityOptions: null,
    DefaultRuntime: "runc",
    Runtimes: null,
  },
};

/** Makes its result anew only when one of the sources is another object: readers cache by it. */
function unchanged<S extends readonly unknown[], T>(
  sources: () => S,
  make: (sources: S) => T,
): () => T {
  let last: { sources: S; result: T } | undefined;
  return () => {
    const now = sources();
    if (last?.sources.every((source, at) => source === now[at]) !== true) {
      last = { sources: now, result: make(now) };
    }
    return last.result;
  };
}
