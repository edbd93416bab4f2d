import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { mirroredDigests, parseMirrors } from "../convert/mirrors.ts";
import type { Mirrors } from "../convert/mirrors.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import type { RequestInfo } from "../engine/call.ts";
import { createDockerEngine } from "../engine/docker-engine.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import { InfoCache } from "../engine/info-cache.ts";
import type { EngineSelf } from "../engine/info-cache.ts";
import { createImageVolumes } from "../images/image-volumes.ts";
import type { ImageVolumes } from "../images/image-volumes.ts";
import { createAccountReader } from "../images/accounts.ts";
import type { AccountFiles } from "../images/accounts.ts";
import type { ImagePuller } from "../images/mirrored-pull.ts";
import type { Puller } from "../images/pull.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import { createContainerIndex } from "../index/create-index.ts";
import { EventsFeed } from "../index/events-feed.ts";
import type { Logger } from "../log.ts";
import { WorkerLogs } from "../logs/worker-logs.ts";
import { createForwardPolicySource } from "../network/forward-policy.ts";
import type { ForwardPolicySource } from "../network/forward-policy.ts";
import { parsePodCidr } from "../network/attachment.ts";
import { createNetwork } from "../network/network.ts";
import { buildNri, execEngine } from "./nri-parts.ts";
import type { NriParts } from "./nri-parts.ts";
import { pauseImage } from "./pause-parts.ts";
import { unchanged } from "./unchanged.ts";
import type { LogChoice } from "../rpc/container-start.ts";
import { NetworkGc } from "../pods/network-gc.ts";
import { Sandboxes } from "../pods/sandboxes.ts";
import { abandonedMsOf } from "../pods/unclaimed.ts";
import type { PodDeps } from "../pods/deps.ts";
import type { SandboxDeps } from "../pods/sandbox-deps.ts";
import { EditingRuntimes } from "../containers/editing-runtimes.ts";
import { HostPaths } from "../containers/host-paths.ts";
import { OwedLimits } from "../containers/owed-limits.ts";
import { LogDrains } from "../containers/log-drains.ts";
import { engineFacts, unknownEngine } from "./node-facts.ts";
import { missingCapabilities } from "../containers/host-capabilities.ts";
import { oomScoreFloor } from "../containers/oom-score.ts";
import { EndedUsers } from "../containers/ended-users.ts";
import { ProcessUsers } from "../containers/process-users.ts";
import { Views } from "../rpc/views.ts";
import { buildNetns } from "./netns-parts.ts";
import type { NetnsParts } from "./netns-parts.ts";
import { buildPullers } from "./pull-parts.ts";
import { buildStats } from "./stats-parts.ts";
import type { StatsParts } from "./stats-parts.ts";
import { EditsFolder } from "../state/edits-folder.ts";
import { GivenUpNotes } from "../state/given-up.ts";
import { KeptEngine } from "../state/kept-engine.ts";
import { OwedEffects } from "../state/owed-effects.ts";
import { ResourceUpdates } from "../state/resource-updates.ts";
import { KnownUsers } from "../state/known-users.ts";
import { PodCidrFile } from "../state/pod-cidr.ts";
import { SandboxRecords } from "../state/sandbox-records.ts";
import { buildStreaming } from "./streaming-parts.ts";
import type { StreamingParts } from "./streaming-parts.ts";
import { systemClock } from "../sys/clock.ts";
import { RemotePaths } from "../sys/remote-paths.ts";
import { KernelLog } from "../sys/kernel-log.ts";
import { KeyedMutex } from "../sys/mutex.ts";

/** Everything that lives as long as the daemon. */
export interface Parts extends PodDeps, StreamingParts, NriParts {
  hooks: NriParts["hooks"];
  config: Config;
  engine: DockerEngine;
  index: ContainerIndex;
  feed: EventsFeed;
  views: Views;
  drains: LogDrains;
  endedUsers: EndedUsers;
  resources: ResourceUpdates;
  owed: OwedEffects;
  owedLimits: OwedLimits;
  /** The same notes, by the name that execs know. */
  execNotes: OwedEffects;
  podCidr: PodCidrFile;
  givenUp: GivenUpNotes;
  networkGc: NetworkGc;
  netns: NetnsParts;
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
  keptEngine: KeptEngine;
  imageAccounts(imageId: string): Promise<AccountFiles>;
  volumes: ImageVolumes;
  close(): Promise<void>;
}

/** The composition root: the only place where parts meet. Nothing is asked of Docker yet. */
export async function buildParts(config: Config, log: Logger): Promise<Parts> {
  const clock = systemClock;
  const records = await SandboxRecords.open(config.stateDir, log);
  const resources = await ResourceUpdates.open(config.stateDir, log);
  const edits = await EditsFolder.open(config.runDir);
  const owed = OwedEffects.open(config.runDir, log);
  const keptEngine = await KeptEngine.open(config.stateDir, log);
  const requestListeners: Parts["requestListeners"] = new Set();
  const engine = createDockerEngine({
    endpoint: config.dockerEndpoint,
    log,
    requestTimeoutMs: config.runtimeRequestTimeout,
    onRequest: (request) => {
      for (const listener of requestListeners) listener(request);
    },
    // Of execs, kills and images too, which the index does not ask for itself.
    onAnswer: () => index.contact(),
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
  const givenUp = new GivenUpNotes(config.stateDir, log);
  const network = createNetwork({
    confDir: config.cniConfDir,
    binDirs: config.cniBinDir,
    legacyCacheDir: config.cniCacheDir,
    givenUp: async (given) => {
      await givenUp.add(given);
      networkGc.givenUp(given.containerId);
    },
    log,
    clock,
  });
  const podCidr = await PodCidrFile.open(config.stateDir, config.podCidr, parsePodCidr, log);
  network.setPodCidr(podCidr.current);
  const remote = new RemotePaths();
  const hostPaths = new HostPaths({ remote, rejectAbsent: config.absentMountSourcesToReject });
  const mustAnswer = (path: string): Promise<void> => hostPaths.mustAnswer(path, "log_directory");
  const logs = new WorkerLogs({ stateDir: config.stateDir, clock, log, mustAnswer });
  const { puller, imagePuller, pausePuller } = buildPullers(config, {
    engine,
    mirrors,
    clock,
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
  const knownUsers = await KnownUsers.open(config.stateDir, log);
  const users = new ProcessUsers(knownUsers);
  const views = new Views({ index, records, resources, users, network, factsNow });
  const drains = new LogDrains(logs, index);
  const imageAccounts = createAccountReader(engine, log);
  const endedUsers = new EndedUsers({ users, index, imageAccounts, clock, log });
  const nri = await buildNri(
    config,
    { engine, index, records, resources, factsNow, clock, log },
    () => ({ ...pods, resources, owedLimits }),
    log,
  );
  const { streaming, endExec, stopEnding } = buildStreaming({
    ...{ config, index, records, owed, clock, log },
    engine: execEngine(engine, nri.hooks),
  });
  const netns = buildNetns({ config, info, records, clock, log });
  const pods: SandboxDeps = {
    hooks: nri.hooks,
    engine,
    index,
    records,
    network,
    ownNetns: netns.own,
    logs,
    info,
    facts: async () => {
      const self = await info.get();
      await editing.of(self);
      return factsOf(self);
    },
    pause: pauseImage(config, { engine, imagePuller: pausePuller, index, log }),
    edits,
    users,
    clock,
    log,
    locks: new KeyedMutex(),
    hostPaths,
  };
  const owedLimits = new OwedLimits({ ...pods, resources, owed });
  const networkGc = new NetworkGc(pods);
  const sandboxes = new Sandboxes(pods, abandonedMsOf(process.env["DOCKLINE_ABANDONED_MS"]));
  await logs.begun();
  const feed = new EventsFeed({ index, log, setUp: (name) => sandboxes.setUpEnded(name) });
  return {
    ...pods,
    ...nri,
    engine,
    givenUp,
    networkGc,
    netns,
    sandboxes,
    config,
    resources,
    owed,
    owedLimits,
    execNotes: owed,
    podCidr,
    keptEngine,
    editing,
    puller,
    imagePuller,
    mirrors,
    views,
    drains,
    endedUsers,
    feed,
    streaming,
    endExec,
    stopEnding,
    stats,
    requestListeners,
    oomFloor,
    factsNow,
    factsOf,
    forward: createForwardPolicySource({ clock, log }),
    imageAccounts,
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
    close: async () => {
      unsubscribe();
      await streaming.close(1000);
      stopEnding();
      feed.close();
      await stats.close();
      await index.close();
      kernelLog.close();
      remote.close();
      await knownUsers.close();
      await logs.close();
      network.close();
      await netns.close();
      engine.close();
    },
  };
}
