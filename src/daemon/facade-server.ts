import { facadeEndpoint } from "../config/options.ts";
import type { Config } from "../config/options.ts";
import { bindService } from "../cri/bind.ts";
import { createGrpcServer, listen } from "../cri/listener.ts";
import { errorText } from "../errors.ts";
import { containerdServices } from "../facade/containerd-services.ts";
import { Containers } from "../gen/containerd/services/containers/v1/containers_pb.js";
import { Tasks } from "../gen/containerd/services/tasks/v1/tasks_pb.js";
import { Version } from "../gen/containerd/services/version/v1/version_pb.js";
import type { Logger } from "../log.ts";
import type { Parts } from "./parts.ts";
import { knownContainers } from "./facade-view.ts";
import { imageNameOf } from "./services.ts";

/**
 * Serves cAdvisor's questions beside the CRI. A socket that cannot be had costs the kubelet's series
 * their labels, not the node its pods: it is an error in the log, and the daemon goes on.
 */
export async function serveFacade(
  config: Config,
  parts: Parts,
  log: Logger,
): Promise<{ close(): Promise<void> } | undefined> {
  const endpoint = facadeEndpoint(config);
  if (endpoint === "") return undefined;
  const services = containerdServices(
    knownContainers({
      index: parts.index,
      clock: parts.clock,
      imageName: (entry) => imageNameOf(parts, entry),
    }),
  );
  const server = createGrpcServer();
  // cAdvisor asks for every cgroup with a long name: "not found" is no event worth a line.
  const options = { log, observe: <T>(_call: unknown, work: () => Promise<T>) => work() };
  for (const [service, handlers] of [
    [Version, services.version],
    [Containers, services.containers],
    [Tasks, services.tasks],
  ] as const) {
    const bound = bindService(service, handlers, options);
    server.addService(bound.definition, bound.implementation);
  }
  try {
    const listener = await listen(server, endpoint, () => 0);
    log.info({ endpoint }, "serving the labels of cAdvisor's series; no CRI here");
    return { close: () => listener.close(0) };
  } catch (error) {
    log.error({ endpoint, error: errorText(error) }, "no series with labels from cAdvisor");
    return undefined;
  }
}
