/*
 * src/facade: the few services of containerd that the kubelet's cAdvisor asks for.
 * Not here: Docker and the index: what it shows comes from src/daemon/facade-view.ts.
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { notFound } from "../errors.ts";
import type { Containers } from "../gen/containerd/services/containers/v1/containers_pb.js";
import type { Tasks } from "../gen/containerd/services/tasks/v1/tasks_pb.js";
import type { Version } from "../gen/containerd/services/version/v1/version_pb.js";
import { Status } from "../gen/containerd/types/task/task_pb.js";
import { version } from "../version.ts";
import type { KnownContainer, KnownContainers } from "./known-container.ts";

/**
 * The three containerd services that cAdvisor inside of a kubelet asks (`--containerd=<socket>`), as
 * far as it asks them. A container that it finds here gets the labels of its pod, and a pause
 * container its pod's network counters; everything else stays a plain cgroup.
 */
export function containerdServices(known: KnownContainers): {
  version: FacadeHandlers<typeof Version>;
  containers: FacadeHandlers<typeof Containers>;
  tasks: FacadeHandlers<typeof Tasks>;
} {
  const find = async (id: string, wanted?: "pid"): Promise<KnownContainer> => {
    const container = await known.find(id, wanted);
    if (container === undefined) throw notFound(`container "${id}": not found`);
    return container;
  };
  return {
    version: {
      version: () => Promise.resolve({ version: `dockline ${version}`, revision: "" }),
    },
    containers: {
      get: async ({ id }) => {
        const container = await find(id);
        return {
          container: {
            id: container.id,
            labels: labelsOf(container),
            image: container.image,
            spec: { typeUrl: specType, value: emptySpec },
          },
        };
      },
    },
    tasks: {
      get: async ({ containerId }) => {
        const { id, pid, state, exitCode } = await find(containerId, "pid");
        // The cgroup is created before the process is reported. An answer without a pid would be kept
        // for good, and the pod's network never be seen; this one is asked again.
        if (state !== "exited" && pid === 0) throw notFound(`task "${id}": not found`);
        return {
          process: {
            containerId: id,
            id,
            pid,
            status: statusOf[state],
            exitStatus: state === "exited" ? exitCode : 0,
          },
        };
      },
    },
  };
}

/** Handlers without streams; the shape that cri/bind.ts registers. */
type FacadeHandlers<S extends { method: object }> = {
  [K in keyof S["method"]]?: HandlerOf<S["method"][K]>;
};
type HandlerOf<M> = M extends {
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? (request: MessageShape<I>) => Promise<MessageInitShape<O>>
  : never;

const statusOf = {
  created: Status.CREATED,
  running: Status.RUNNING,
  paused: Status.PAUSED,
  exited: Status.STOPPED,
} as const;

const specType = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/** With a process: cAdvisor looks at its environment without asking whether it is there. */
const emptySpec = new TextEncoder().encode('{"ociVersion":"1.0.2","process":{"env":[]}}');

/** The labels that the kubelet turns into those of its series, whoever made the container. */
function labelsOf(container: KnownContainer): Record<string, string> {
  const labels: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const key of Object.keys(container.labels)) labels[key] = container.labels[key] ?? "";
  labels["io.kubernetes.pod.name"] = container.podName;
  labels["io.kubernetes.pod.namespace"] = container.podNamespace;
  labels["io.kubernetes.pod.uid"] = container.podUid;
  if (container.kind === "podsandbox") {
    labels["io.cri-containerd.kind"] = "sandbox";
    // With a container's name it would be counted as one.
    delete labels["io.kubernetes.container.name"];
  } else {
    labels["io.cri-containerd.kind"] = "container";
    labels["io.kubernetes.container.name"] = container.containerName;
  }
  return labels;
}
