import type { AdjustmentPlan } from "../convert/nri-adjustment.ts";
import type { ContainerCreate, ResourceConfig } from "../engine/types.ts";
import type {
  ContainerConfig,
  LinuxContainerResources,
  PodSandboxConfig,
} from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";

/** A container that Docker has just made for CreateContainer. */
export interface MadeContainer {
  readonly id: string;
  /** Docker's name. */
  readonly name: string;
  readonly body: ContainerCreate;
  readonly config: ContainerConfig;
  readonly sandboxConfig: PodSandboxConfig;
  readonly sandbox: ContainerEntry;
}

/**
 * What happens to pods and containers, for those who listen (NRI plugins). Handlers ask `active` first: while it is
 * false nothing else here is called but `hide`, `reveal` and what is shown, and nothing is waited for; but a create
 * that began while somebody listened is finished all the same.
 */
export interface PodHooks {
  /** Somebody listens, or is about to. */
  readonly active: boolean;
  /** Somebody may change containers as they are created. */
  readonly adjusting: boolean;
  /** Somebody may refuse containers as they are created. */
  readonly judging: boolean;
  /** Undefined once those that start together with Dockline listen, or have failed to. */
  readonly starting: Promise<void> | undefined;

  /** What is being made under this name is for nobody to see yet. */
  hide(name: string): void;
  reveal(name: string): void;
  /** Hidden by this process: it is under way, or was refused and could not be removed. */
  isBeingMade(name: string): boolean;
  /** Hidden, or left unfinished by a process that was killed while somebody was being asked. */
  isHidden(entry: ContainerEntry): boolean;
  /** True for a container whose create was not finished; its retry must not use it. */
  isUnfinished(entry: ContainerEntry): boolean;
  /** The same list where nothing is hidden. */
  shown(entries: readonly ContainerEntry[]): readonly ContainerEntry[];

  /**
   * RunPodSandbox.
   *
   * @param finish what makes it ready, in the same turn
   * @throws CriError when somebody refuses; `finish` has not been called then
   */
  podRun(pod: StartedPod, finish: () => Promise<void>): Promise<void>;
  /** @throws CriError when somebody refuses */
  podUpdate(id: string, change: PodChange): Promise<void>;
  podUpdated(id: string): Promise<void>;
  /** Once for each pod, however often it is called. */
  podStop(id: string): Promise<void>;
  podRemove(id: string): Promise<void>;

  /** CreateContainer. @throws CriError when somebody refuses it */
  containerCreate(made: MadeContainer): Promise<void>;
  containerCreated(made: MadeContainer): Promise<void>;
  /** It comes to nothing, or goes: what has not been informed of it yet is informed. */
  containerRemove(id: string): Promise<void>;
  /**
   * StartContainer, around `start`.
   *
   * @throws CriError when somebody refuses, and what `start` throws
   */
  containerStart(id: string, start: () => Promise<void>): Promise<void>;
  /** The same for one whose start began with nobody there, once it has been started. */
  containerStarted(id: string): Promise<void>;
  /**
   * Before each start: puts on what was asked at the create and is not in Docker yet. Works with nobody there.
   *
   * @returns edits of its OCI spec
   */
  beforeStart(entry: ContainerEntry): Promise<AdjustmentPlan["edits"]>;
  /** Docker's `Env` for an exec in it, beyond what Docker knows itself. */
  execEnvironment(id: string): string[];
  /** What is to be set instead. @throws CriError when somebody refuses */
  containerUpdate(id: string, asked: LinuxContainerResources): Promise<AskedResources>;
  containerUpdated(id: string): Promise<void>;
  /** Resolves when the end of all of these has been reported; once each, whoever asks. */
  containersStopped(ids: readonly string[]): Promise<void>;
}

/** What UpdateContainerResources sets. */
export interface AskedResources {
  readonly resources: LinuxContainerResources;
  /** What the CRI has no field for. */
  readonly docker?: Pick<ResourceConfig, "MemoryReservation" | "PidsLimit">;
}

export interface StartedPod {
  readonly id: string;
  /** Docker's name of the pause container. */
  readonly name: string;
  readonly ips: readonly string[];
}

/** UpdatePodSandboxResources. */
export interface PodChange {
  readonly overhead?: LinuxContainerResources | undefined;
  readonly resources?: LinuxContainerResources | undefined;
}

const nothing = (): Promise<void> => Promise.resolve();

/** Nobody ever listens. */
export const noHooks: PodHooks = {
  active: false,
  adjusting: false,
  judging: false,
  starting: undefined,
  hide: () => undefined,
  reveal: () => undefined,
  isBeingMade: () => false,
  isHidden: () => false,
  isUnfinished: () => false,
  shown: (entries) => entries,
  podRun: (_, finish) => finish(),
  podUpdate: nothing,
  podUpdated: nothing,
  podStop: nothing,
  podRemove: nothing,
  containerCreate: nothing,
  containerCreated: nothing,
  containerRemove: nothing,
  containerStart: (_, start) => start(),
  containerStarted: nothing,
  beforeStart: () => Promise.resolve(undefined),
  execEnvironment: () => [],
  containerUpdate: (_, asked) => Promise.resolve({ resources: asked }),
  containerUpdated: nothing,
  containersStopped: nothing,
};
