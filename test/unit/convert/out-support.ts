import { create } from "@bufbuild/protobuf";
import { isContainer, type ContainerFacts } from "../../../src/convert/container-facts.ts";
import { readIdentity, toContainerLabels } from "../../../src/convert/labels.ts";
import { encodeContainerSpec } from "../../../src/convert/stored-spec.ts";
import type { ContainerInspect, ContainerState as DockerState } from "../../../src/engine/types.ts";
import {
  ContainerConfigSchema,
  MountPropagation,
  Signal,
} from "../../../src/gen/runtime/v1/api_pb.js";

export const id = "1".repeat(64);
export const sandboxId = "2".repeat(64);
export const imageId = `sha256:${"3".repeat(64)}`;
export const digest = `sha256:${"4".repeat(64)}`;
export const createdAtNs = 1_704_067_200_123_456_789n;
export const state: DockerState = {
  Status: "running",
  Running: true,
  Paused: false,
  Restarting: false,
  OOMKilled: false,
  Dead: false,
  Pid: 42,
  ExitCode: 0,
  Error: "",
  StartedAt: "2024-01-01T00:00:01.000000001Z",
  FinishedAt: "0001-01-01T00:00:00Z",
};

export function inspectOf(fields: {
  HostConfig?: ContainerInspect["HostConfig"];
  Config?: Partial<ContainerInspect["Config"]>;
  Mounts?: ContainerInspect["Mounts"] & object;
}): ContainerInspect {
  return {
    Id: id,
    Name: "/x",
    Created: "2024-01-01T00:00:00.123456789Z",
    State: state,
    Image: imageId,
    ResolvConfPath: "",
    LogPath: "",
    HostConfig: fields.HostConfig ?? {},
    ...(fields.Mounts === undefined ? {} : { Mounts: fields.Mounts }),
    Config: {
      Hostname: "",
      User: "",
      Env: null,
      Cmd: null,
      Entrypoint: null,
      Image: imageId,
      WorkingDir: "",
      Labels: {},
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      ...fields.Config,
    },
    NetworkSettings: {},
  };
}

export const config = create(ContainerConfigSchema, {
  image: {
    image: imageId,
    userSpecifiedImage: "busybox:1.36",
    annotations: { note: "n" },
    runtimeHandler: "runc",
  },
  mounts: [
    {
      containerPath: "/dev/termination-log",
      hostPath: "/var/lib/kubelet/pods/u/containers/app/0",
      propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
      selinuxRelabel: true,
    },
    { containerPath: "/img", image: { image: imageId }, imageSubPath: "a" },
    { containerPath: "/img2", image: { image: "busybox" } },
    { containerPath: "/img3", image: { image: imageId, imageRef: "kept" } },
  ],
  labels: { a: "1" },
  annotations: { b: "2" },
  logPath: "app/0.log",
  stopSignal: Signal.SIGINT,
  linux: { resources: { cpuShares: 102n, cpuQuota: 500n, unified: { "memory.oom.group": "1" } } },
});

export function containerFacts(change: Partial<ContainerFacts> = {}): ContainerFacts {
  const name = "k8s_app_web_default_u-1_2";
  const labels = toContainerLabels(
    config,
    { logDirectory: "/var/log/pods/p" },
    sandboxId,
    name,
    "",
    {
      spec: encodeContainerSpec(config),
    },
  );
  const facts = {
    id,
    identity: readIdentity({ name, labels })!,
    createdAtNs,
    state,
    inspect: undefined,
    imageId,
    image: imageId,
  };
  if (!isContainer(facts)) throw new Error("not a container");
  return { ...facts, ...change };
}

export function legacyFacts(change: Partial<ContainerFacts> = {}): ContainerFacts {
  const identity = readIdentity({
    name: "k8s_app_web_default_u-1_2",
    labels: {
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.sandbox.id": sandboxId,
      "io.kubernetes.container.logpath": "/var/log/x",
    },
  })!;
  if (identity.kind !== "container") throw new Error("not a container");
  return containerFacts({ identity, image: "busybox", ...change });
}

export const names = {
  repoTags: ["other:1", "busybox:1.36", "busybox:latest"],
  repoDigests: [`other@${digest}`, `busybox@${digest}`],
};
