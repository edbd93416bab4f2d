import type { Logger } from "../log.ts";
import type { RequestInfo } from "./call.ts";
import { containerCalls } from "./docker-containers.ts";
import { execCalls } from "./docker-exec.ts";
import { imageCalls } from "./docker-images.ts";
import { systemCalls } from "./docker-system.ts";
import { socketPathOf } from "./endpoint.ts";
import type { Engine } from "./engine.ts";
import { Requests } from "./requests.ts";
import { Transport } from "./transport.ts";

export interface DockerEngineOptions {
  /** "unix:///run/docker.sock"; anything but a unix socket is refused. */
  endpoint: string;
  log: Logger;
  /** Shortens every default budget that is longer, in ms; stops keep their grace period. */
  requestTimeoutMs?: number;
  /** Called once for each HTTP request when it is over. */
  onRequest?: (info: RequestInfo) => void;
  /** Called when the headers of an answer have come, whatever its status; not for pings. */
  onAnswer?: () => void;
  /** Requests at the engine at once in each lane that has a limit. Default: laneLimits. */
  inFlight?: number;
}

export interface DockerEngine extends Engine {
  /** Ends all requests under way with EngineError "aborted" and closes the connections. */
  close(): void;
}

/** Docker Engine behind a local socket. Nothing is connected before the first request. */
export function createDockerEngine(options: DockerEngineOptions): DockerEngine {
  const transport = new Transport({ ...options, socketPath: socketPathOf(options.endpoint) });
  const supports = (minor: number): boolean => {
    const version = transport.versioning.version;
    return version !== undefined && (version[0] > 1 || version[1] >= minor);
  };
  const requests = new Requests(transport, options.requestTimeoutMs);
  return {
    get connection() {
      return { apiVersion: transport.versioning.version };
    },
    supports,
    ...systemCalls(requests, transport, supports),
    ...containerCalls(requests),
    ...execCalls(requests),
    ...imageCalls(requests),
    close: () => transport.close(),
  };
}
