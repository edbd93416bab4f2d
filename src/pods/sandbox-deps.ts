import type { ContainerDeps } from "../containers/deps.ts";
import type { PodHooks } from "./hooks.ts";
import type { Network } from "../network/network.ts";
import type { OwnNetns } from "./own-netns.ts";
import type { SandboxRecords } from "../state/sandbox-records.ts";

/** What a sandbox works with. The keys of its locks are its own, which it alone uses. */
export interface SandboxDeps extends ContainerDeps {
  /** Only a Sandbox writes to them. */
  records: SandboxRecords;
  network: Network;
  ownNetns: OwnNetns;
  pause: PauseImages;
  /** Who hears of what happens to pods and containers. */
  hooks: PodHooks;
}

/** The image of the pause container. */
export interface PauseImages {
  /** The reference to create pause containers from. */
  readonly reference: string;
  /** The engine said 404: pulls it, or loads the embedded one under that name. */
  ensure(signal: AbortSignal): Promise<void>;
}
