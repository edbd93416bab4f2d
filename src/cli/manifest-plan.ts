import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import type { ContainerConfigSchema, PodSandboxConfigSchema } from "../gen/runtime/v1/api_pb.js";

/** Fields to create a message from, without the message itself. */
type InitOf<S extends typeof PodSandboxConfigSchema | typeof ContainerConfigSchema> = Exclude<
  MessageInitShape<S>,
  Message
>;
export type SandboxInit = InitOf<typeof PodSandboxConfigSchema>;
export type ContainerInit = InitOf<typeof ContainerConfigSchema>;

export interface PlannedContainer {
  name: string;
  image: string;
  pull: "Always" | "IfNotPresent" | "Never";
  /** init: runs to its end before the next one starts; sidecar: an init container that stays. */
  role: "init" | "sidecar" | "main";
  config: ContainerInit;
  /** `valueFrom: status.podIP` and the like, known only once the sandbox runs. */
  lateEnvironment: { name: string; source: "podIP" }[];
  hostPorts: { hostPort: number; containerPort: number }[];
}

/** What a Pod manifest becomes. */
export interface PlannedPod {
  name: string;
  namespace: string;
  uid: string;
  sandbox: SandboxInit;
  containers: PlannedContainer[];
  /** Folders to make (and to remove with the pod): emptyDir volumes. */
  emptyDirs: string[];
  /** hostPath folders to make where the manifest says DirectoryOrCreate. */
  hostFolders: string[];
  logDirectory: string;
  runtimeHandler: string;
}
