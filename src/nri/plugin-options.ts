import type { Duplex } from "node:stream";
import type { UpdateContainersRequest } from "../gen/nri/v1alpha1/api_pb.js";
import type { Clock } from "../sys/clock.ts";

export interface Timeouts {
  readonly registrationMs: number;
  readonly requestMs: number;
}

export interface PluginOptions {
  readonly stream: Duplex;
  /** Of one that Dockline launched: its file's name and its configuration. What it says of itself is ignored. */
  readonly launched?: { readonly name: string; readonly index: string; readonly config: string };
  /** Dockline's. */
  readonly runtimeVersion: string;
  readonly timeouts: Timeouts;
  readonly clock: Clock;
  /** UpdateContainers, from a plugin that has joined. */
  onUpdate(request: UpdateContainersRequest): Promise<void>;
  /** The connection has ended. */
  onClose(reason: string): void;
}
