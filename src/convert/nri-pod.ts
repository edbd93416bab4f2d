import { create } from "@bufbuild/protobuf";
import { PodSandboxSchema, type PodSandbox } from "../gen/nri/v1alpha1/api_pb.js";
import {
  NamespaceMode,
  type LinuxContainerResources,
  type NamespaceOption,
} from "../gen/runtime/v1/api_pb.js";
import { runtimeHandlerOf, type SandboxFacts } from "./container-facts.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { defined, toNriResources } from "./nri-resources.ts";
import { storedSandboxSpec } from "./sandbox-out.ts";

export interface NriPodInput {
  readonly facts: SandboxFacts;
  readonly engine: Pick<EngineFacts, "cgroupDriver">;
  /** Path of the network namespace; "" for the host's, or when it is gone. */
  readonly netns: string;
  readonly ips: readonly string[];
  /** As UpdatePodSandboxResources last asked. */
  readonly updated?: {
    readonly overhead?: LinuxContainerResources | undefined;
    readonly resources?: LinuxContainerResources | undefined;
  };
}

/** Docker's own share for a container that asks for none, and so a pause container's. */
const PAUSE_SHARES = 2n;

/** A pod as plugins see it. What another runtime did not keep (its resources) is absent. */
export function toNriPod({ facts, engine, netns, ips, updated }: NriPodInput): PodSandbox {
  const { identity } = facts;
  const linux = storedSandboxSpec(facts)?.linux;
  const parent = linux?.cgroupParent ?? facts.inspect?.HostConfig.CgroupParent ?? "";
  const overhead = updated?.overhead ?? linux?.overhead;
  const resources = updated?.resources ?? linux?.resources;
  return create(PodSandboxSchema, {
    id: facts.id,
    name: identity.metadata.name,
    uid: identity.metadata.uid,
    namespace: identity.metadata.namespace,
    labels: identity.labels,
    annotations: identity.annotations,
    runtimeHandler: runtimeHandlerOf(facts),
    linux: defined({
      podOverhead: overhead === undefined ? undefined : toNriResources(overhead),
      podResources: resources === undefined ? undefined : toNriResources(resources),
      cgroupParent: parent,
      cgroupsPath: cgroupsPath(parent, facts.id, engine),
      namespaces: namespaces(linux?.securityContext?.namespaceOptions, netns),
      resources: { cpu: { shares: { value: PAUSE_SHARES } } },
    }),
    pid: facts.state.Running ? facts.state.Pid : 0,
    ips: [...ips],
  });
}

/** The OCI spec's cgroupsPath of a container: `<slice>:docker:<id>` for systemd, else a path. */
export function cgroupsPath(
  parent: string,
  id: string,
  { cgroupDriver }: Pick<EngineFacts, "cgroupDriver">,
): string {
  if (cgroupDriver === "systemd") {
    const slice = parent.split("/").findLast((part) => part !== "") ?? "system.slice";
    return `${slice}:docker:${id}`;
  }
  return `${parent === "" ? "/docker" : parent.replace(/\/+$/, "")}/${id}`;
}

/** Those that the pause container has of its own; one of the host's is not listed. */
function namespaces(options: NamespaceOption | undefined, netns: string) {
  const own = ["mount", "uts"];
  if (options?.ipc !== NamespaceMode.NODE) own.push("ipc");
  if (options?.pid !== NamespaceMode.NODE) own.push("pid");
  if (options?.usernsOptions?.mode === NamespaceMode.POD) own.push("user");
  const list = own.map((type) => ({ type, path: "" }));
  return netns === "" ? list : [...list, { type: "network", path: netns }];
}
