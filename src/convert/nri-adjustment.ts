import type { FieldOwners, ContainerAdjustment } from "../gen/nri/v1alpha1/api_pb.js";
import type {
  ContainerConfig,
  LinuxContainerResources,
  PodSandboxConfig,
} from "../gen/runtime/v1/api_pb.js";
import type { CdiContainerEdits } from "./cdi-edits.ts";
import type { EngineFacts, HandlerFacts } from "./engine-facts.ts";
import type { OciOperation } from "./oci-edits.ts";

/** What the translation of an adjustment is given beside it. */
export interface AdjustmentFacts {
  readonly containerId: string;
  /** For the plugin's name in a refusal: who set what. */
  readonly owners: FieldOwners | undefined;
  /** As the kubelet asked. */
  readonly config: ContainerConfig;
  /** Of the pod, as it was asked for; undefined for one that another runtime made. */
  readonly pod: PodSandboxConfig | undefined;
  /** Its `editing` is undefined where dockline-oci is not in front of the handler. */
  readonly engine: HandlerFacts<keyof EngineFacts>;
  /** What the node's CDI specifications say of the devices that the adjustment names. */
  readonly devices: readonly CdiContainerEdits[];
  /** The text of /proc/self/mountinfo, for the propagation of mounts. */
  readonly mountinfo: string;
}

/** How an adjustment is carried out. All members are plain JSON, so that it can be kept in a file. */
export interface AdjustmentPlan {
  /** Put on before the first start, in the way of UpdateContainerResources. */
  readonly resources?: LinuxContainerResources;
  /** Members of Docker's update that those do not have: MemoryReservation, PidsLimit, … */
  readonly docker?: Readonly<Record<string, unknown>>;
  /** For dockline-oci at each start, behind Dockline's own edits. */
  readonly edits?: {
    readonly merge?: Readonly<Record<string, unknown>>;
    readonly ops?: readonly OciOperation[];
    /** Features of the real runtime without which the start must fail. */
    readonly requires?: readonly string[];
  };
  /** Variables that an exec gets as well; null takes one away. */
  readonly env?: Readonly<Record<string, string | null>>;
}

/**
 * @throws CriError naming plugin and field: Unimplemented for what Dockline never does, FailedPrecondition for what
 * this node cannot, InvalidArgument for what has no meaning
 */
export type PlanAdjustment = (
  adjustment: ContainerAdjustment,
  facts: AdjustmentFacts,
) => AdjustmentPlan;
