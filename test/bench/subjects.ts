import type { BenchAnswer, BenchClient, BenchPod, BenchRequest } from "./client.ts";
import type { ProcessTable } from "./processes.ts";

/** One contender: everything is asked of all of them in the same words. */
export interface Subject {
  readonly name: string;
  /** "cri": keeps pods and lists them. "raw": the engine's own API, only for comparison. */
  readonly kind: "cri" | "raw";
  run(request: BenchRequest): Promise<BenchAnswer>;
  /** Processes whose CPU and memory are reported; empty for an endpoint that nobody named processes for. */
  processes(): ProcessTable;
  /** Pods that it keeps at the moment. */
  pods: BenchPod[];
}

/** The requests that stand for a pod on the raw API, recorded from Dockline. */
export interface RawPod {
  bodies: { sandbox: unknown; hostSandbox: unknown; container: unknown; exec: unknown };
  /** The sandbox's id in `bodies.container`. */
  oldId: string;
  cni: { binDir: string; name: string; version: string; plugins: object[] };
}

/** In a container that ends at once when it is asked to, as a well-made server does. */
export const podCommand = [
  "sh",
  "-c",
  "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done",
];

export function criSubject(options: {
  name: string;
  endpoint: string;
  client: BenchClient;
  image: string;
  logDir: string;
  cgroupRoot: string;
  processes?: () => ProcessTable;
}): Subject {
  const { name, endpoint, client, image, logDir, cgroupRoot } = options;
  const fixed = { endpoint, image, logDir, cgroupRoot, command: podCommand };
  return {
    name,
    kind: "cri",
    pods: [],
    run: (request) => client.ask({ ...fixed, ...request }),
    processes: options.processes ?? (() => new Map()),
  };
}

/** The engine's API with Go's HTTP client: nobody's bridge can be faster. */
export function rawGoSubject(options: {
  engineSocket: string;
  client: BenchClient;
  pod: RawPod;
  processes: () => ProcessTable;
}): Subject {
  const { bodies, oldId, cni } = options.pod;
  const fixed = { endpoint: `docker://${options.engineSocket}`, oldId, cni };
  return {
    name: "raw (Go)",
    kind: "raw",
    pods: [],
    run: (request) =>
      options.client.ask({
        ...fixed,
        bodies: {
          sandbox: request.hostNetwork === true ? bodies.hostSandbox : bodies.sandbox,
          container: bodies.container,
          exec: bodies.exec,
        },
        ...request,
      }),
    processes: options.processes,
  };
}
