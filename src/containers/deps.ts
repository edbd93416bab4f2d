/*
 * src/containers: what a container needs beyond Docker's API: edits of its OCI spec, devices, users,
 * host paths, limits owed after the start, execs.
 * Not here: networks and sandbox records (src/pods), and translation that needs no effect
 * (src/convert).
 */
import type { EngineFacts } from "../convert/engine-facts.ts";
import type { Engine } from "../engine/engine.ts";
import type { InfoCache } from "../engine/info-cache.ts";
import type { ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import type { ContainerLogs } from "../logs/container-logs.ts";
import type { EditsFolder } from "../state/edits-folder.ts";
import type { Clock } from "../sys/clock.ts";
import type { KeyedMutex } from "../sys/mutex.ts";
import type { HostPaths } from "./host-paths.ts";
import type { ProcessUsers } from "./process-users.ts";

/** What work on one container needs, be it a pod's pause container or a member of the pod. */
export interface ContainerDeps {
  engine: Engine;
  index: ContainerIndex;
  logs: ContainerLogs;
  info: InfoCache;
  /** What convert/ must know of the engine; Unavailable while nothing is known yet. */
  facts(): Promise<EngineFacts>;
  /** Edits of OCI specs, for dockline-oci. */
  edits: EditsFolder;
  /** ContainerStatus.user. */
  users: ProcessUsers;
  clock: Clock;
  log: Logger;
  /** Serialises work on one object; a container's key is "container:<name>". */
  locks: KeyedMutex;
  /** The node's paths that requests name. */
  hostPaths: HostPaths;
}
