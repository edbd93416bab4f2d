import { toBinary } from "@bufbuild/protobuf";
import {
  ContainerSchema,
  ContainerStatusSchema,
  PodSandboxSchema,
  PodSandboxStatusSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import type { TestNode } from "./node.ts";

/** All that Dockline says of pods and containers, as the bytes it sends: by list or id, in hex. */
export type Snapshot = Record<string, string | string[]>;

/** Both lists in their order, the status of every pod and of every container. */
export async function snapshotOf({ runtime }: TestNode): Promise<Snapshot> {
  const { items } = await runtime.listPodSandbox({});
  const { containers } = await runtime.listContainers({});
  const snapshot: Snapshot = {
    ListPodSandbox: items.map((item) => hex(toBinary(PodSandboxSchema, item))),
    ListContainers: containers.map((item) => hex(toBinary(ContainerSchema, item))),
  };
  for (const { id } of items) {
    const { status, containersStatuses } = await runtime.podSandboxStatus({ podSandboxId: id });
    if (status === undefined) throw new Error(`PodSandboxStatus ${id}: no status`);
    snapshot[`PodSandboxStatus ${id}`] = [
      hex(toBinary(PodSandboxStatusSchema, status)),
      ...containersStatuses.map((each) => hex(toBinary(ContainerStatusSchema, each))),
    ];
  }
  for (const { id } of containers) {
    const { status } = await runtime.containerStatus({ containerId: id });
    if (status === undefined) throw new Error(`ContainerStatus ${id}: no status`);
    snapshot[`ContainerStatus ${id}`] = hex(toBinary(ContainerStatusSchema, status));
  }
  return snapshot;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
