import type {
  ContainerAdjustment,
  ContainerUpdate,
  CreateContainerRequest,
  CreateContainerResponse,
  LinuxResources,
  OwningPlugins,
  StopContainerRequest,
  StopContainerResponse,
  SynchronizeResponse,
  UpdateContainerRequest,
  UpdateContainerResponse,
  UpdateContainersRequest,
  ValidateContainerAdjustmentRequest,
} from "../gen/nri/v1alpha1/api_pb.js";

/** Who answered: `10-balloons`, as owners and errors have it. */
export type PluginName = string;

/**
 * One event's answers, in the order of the plugins. The request changes with each of them, so that the next plugin
 * sees the container as it is adjusted so far; the caller sends `request` as it is at that moment.
 */
export interface Collector<Request, Response, Result> {
  readonly request: Request;
  /**
   * @throws CriError when it is in conflict with an earlier answer, or asks for what nobody can have; the message
   * names the plugins and the field. What was collected before stays as it was.
   */
  add(plugin: PluginName, response: Response): void;
  /** Of all answers; may be asked for once. */
  result(): Result;
}

export interface CollectedCreate {
  /** Undefined when no plugin asked for anything. */
  readonly adjustment: ContainerAdjustment | undefined;
  /** Of other containers. */
  readonly updates: readonly ContainerUpdate[];
  /** By container id: the one that is being created, and those that the updates are for. */
  readonly owners: OwningPlugins;
}

export interface CollectedUpdate {
  /** What was asked for, with what the plugins said over it. */
  readonly resources: LinuxResources | undefined;
  /** Of other containers; they come first. */
  readonly updates: readonly ContainerUpdate[];
  /** As in CollectedCreate. */
  readonly owners: OwningPlugins;
}

/** How the answers of several plugins become one. Knows neither Docker nor the CRI, and keeps nothing between events. */
export interface Merging {
  create(
    request: CreateContainerRequest,
  ): Collector<CreateContainerRequest, CreateContainerResponse, CollectedCreate>;
  update(
    request: UpdateContainerRequest,
  ): Collector<UpdateContainerRequest, UpdateContainerResponse, CollectedUpdate>;
  stop(
    request: StopContainerRequest,
  ): Collector<StopContainerRequest, StopContainerResponse, readonly ContainerUpdate[]>;
  /**
   * The updates that one plugin asks for alone: in the answer to Synchronize, or of its own accord.
   *
   * @throws CriError as `add` does
   */
  updatesOf(
    plugin: PluginName,
    asked: SynchronizeResponse | UpdateContainersRequest,
  ): readonly ContainerUpdate[];
  /** The built-in validator; undefined where it is off. Returns why the container must not be created. */
  readonly validate:
    ((request: ValidateContainerAdjustmentRequest) => string | undefined) | undefined;
}

/** Options of the built-in validator, by CRI-O's names. */
export interface ValidatorOptions {
  readonly enabled: boolean;
  readonly rejectOciHookAdjustment: boolean;
  readonly rejectRuntimeDefaultSeccompAdjustment: boolean;
  readonly rejectUnconfinedSeccompAdjustment: boolean;
  readonly rejectCustomSeccompAdjustment: boolean;
  readonly rejectNamespaceAdjustment: boolean;
  readonly rejectSysctlAdjustment: boolean;
  /** Names or `NN-name`. */
  readonly requiredPlugins: readonly string[];
  /** Annotation of a pod that may do without them; "" is none. */
  readonly tolerateMissingPluginsAnnotation: string;
}
