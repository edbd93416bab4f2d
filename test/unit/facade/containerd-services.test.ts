import { expect } from "chai";
import type { CriError } from "../../../src/errors.ts";
import { containerdServices } from "../../../src/facade/containerd-services.ts";
import type { KnownContainer } from "../../../src/facade/known-container.ts";
import { create } from "@bufbuild/protobuf";
import { GetContainerRequestSchema } from "../../../src/gen/containerd/services/containers/v1/containers_pb.js";
import { GetRequestSchema } from "../../../src/gen/containerd/services/tasks/v1/tasks_pb.js";
import { Status } from "../../../src/gen/containerd/types/task/task_pb.js";

const worker: KnownContainer = {
  id: "abc",
  kind: "container",
  podName: "web-0",
  podNamespace: "shop",
  podUid: "u1",
  containerName: "server",
  // What a pod's author wrote does not move its series to another pod.
  labels: { "io.kubernetes.pod.name": "other", app: "web", ["__proto__"]: "kept" },
  image: "docker.io/library/nginx:1",
  pid: 4711,
  state: "running",
  exitCode: 0,
};

describe("the containerd façade", () => {
  const services = (container: KnownContainer | undefined) =>
    containerdServices({ find: () => Promise.resolve(container) });
  const labelsOf = async (container: KnownContainer) =>
    (await services(container).containers.get!(create(GetContainerRequestSchema, { id: "abc" })))
      .container!.labels!;
  const taskOf = async (container: KnownContainer | undefined) =>
    (await services(container).tasks.get!(create(GetRequestSchema, { containerId: "abc" })))
      .process!;
  const kindOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
      return "none";
    } catch (error) {
      return (error as CriError).kind;
    }
  };

  it("labels a container with its pod, and keeps the labels it has", async () => {
    const labels = await labelsOf(worker);
    expect(labels).to.include({
      "io.kubernetes.pod.name": "web-0",
      "io.kubernetes.pod.namespace": "shop",
      "io.kubernetes.pod.uid": "u1",
      "io.kubernetes.container.name": "server",
      "io.cri-containerd.kind": "container",
      app: "web",
    });
    expect(Object.keys(labels)).to.include("__proto__");
  });

  it("shows a pause container as the sandbox, without a container's name", async () => {
    const labels = await labelsOf({ ...worker, kind: "podsandbox", containerName: "" });
    expect(labels["io.cri-containerd.kind"]).to.equal("sandbox");
    expect(labels).to.not.have.property("io.kubernetes.container.name");
  });

  it("tells the process of a task, and of none before it is known", async () => {
    expect(await taskOf(worker)).to.include({ pid: 4711, status: Status.RUNNING });
    expect(await taskOf({ ...worker, state: "exited", pid: 0, exitCode: 3 })).to.include({
      pid: 0,
      status: Status.STOPPED,
      exitStatus: 3,
    });
    expect(await kindOf(taskOf({ ...worker, pid: 0 }))).to.equal("NotFound");
    expect(await kindOf(taskOf({ ...worker, state: "created", pid: 0 }))).to.equal("NotFound");
  });

  it("knows nothing of other cgroups", async () => {
    expect(await kindOf(taskOf(undefined))).to.equal("NotFound");
  });
});
