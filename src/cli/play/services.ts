import type { ServiceClient } from "../../cri/client.ts";
import type { ImageService, RuntimeService } from "../../gen/runtime/v1/api_pb.js";
import type { Clock } from "../../sys/clock.ts";
import type { PlayDisk } from "./disk.ts";
import type { PlannedContainer, PlannedPod, ProbeAction } from "./plan.ts";

export type PlayRuntime = Pick<
  ServiceClient<typeof RuntimeService>,
  | "runPodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "containerStatus"
  | "listContainers"
  | "execSync"
>;

export interface ProbeTarget {
  containerId: string;
  /** Where HTTP and TCP go to when the probe names no host. */
  address: string;
  timeoutMs: number;
}

/** "unknown": nothing follows, because the probe itself could not be done. */
export interface ProbeResult {
  outcome: "success" | "failure" | "unknown";
  /** Why, on one line. */
  text: string;
}

/** What a pod is run with. */
export interface PlayServices {
  runtime: PlayRuntime;
  images: Pick<ServiceClient<typeof ImageService>, "imageStatus" | "pullImage">;
  disk: PlayDisk;
  clock: Clock;
  /** One line for whoever watches. */
  say: (text: string) => void;
  probe: (action: ProbeAction, target: ProbeTarget) => Promise<ProbeResult>;
  /** Shows a container's log until the signal aborts, and then what is left of it. */
  follow: (path: string, name: string, signal: AbortSignal) => Promise<void>;
}

/** A pod that has its sandbox. */
export interface PodOnNode {
  plan: PlannedPod;
  sandboxId: string;
  addresses: readonly string[];
  /** How its containers are called: with the pod's name where there are several pods. */
  title: (container: PlannedContainer) => string;
}
