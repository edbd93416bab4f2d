import { fromBinary } from "@bufbuild/protobuf";
import { hostname } from "node:os";
import { isContainer, isSandbox } from "../convert/container-facts.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { isHostNetwork } from "../convert/namespaces.ts";
import { toNriContainer } from "../convert/nri-container.ts";
import type { ProcessFacts } from "../convert/nri-container.ts";
import { toNriPod } from "../convert/nri-pod.ts";
import { processOfCreate, processOfInspect } from "../convert/nri-process-facts.ts";
import { hostConfigResources, toNriResources } from "../convert/nri-resources.ts";
import { decodeContainerSpec, decodeSandboxSpec } from "../convert/stored-spec.ts";
import type { Engine } from "../engine/engine.ts";
import type { Container, PodSandbox } from "../gen/nri/v1alpha1/api_pb.js";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { ContainerConfig, LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { MadeContainer } from "../pods/hooks.ts";
import type { ResourceUpdates } from "../state/resource-updates.ts";
import type { SandboxRecords } from "../state/sandbox-records.ts";

export interface ModelDeps {
  readonly engine: Pick<Engine, "inspectContainer">;
  readonly index: Pick<ContainerIndex, "peek" | "images">;
  readonly records: SandboxRecords;
  readonly resources: ResourceUpdates;
  factsNow(): EngineFacts;
}

/** What is kept of a container beyond the index, which knows neither environment nor command. */
interface Kept {
  readonly process: ProcessFacts;
  /** As asked for, while its create was seen. */
  readonly config?: ContainerConfig;
}

/** Pods and containers as plugins see them, from memory: no event asks Docker for anything. */
export class Models {
  readonly #deps: ModelDeps;
  readonly #kept = new Map<string, Kept>();

  constructor(deps: ModelDeps) {
    this.#deps = deps;
  }

  /** Undefined for what is not known (any more). */
  pod(id: string, ips?: readonly string[]): PodSandbox | undefined {
    const facts = this.#deps.index.peek(id);
    if (facts === undefined || !isSandbox(facts)) return undefined;
    const record = this.#deps.records.byId(id);
    return toNriPod({
      facts,
      engine: this.#deps.factsNow(),
      netns: this.#netns(facts),
      ips: ips ?? record?.ips ?? [],
      updated: {
        overhead: decoded(record?.updatedResources?.overhead),
        resources: decoded(record?.updatedResources?.resources),
      },
    });
  }

  container(id: string, atCreate = false): Container | undefined {
    const facts = this.#deps.index.peek(id);
    if (facts === undefined || !isContainer(facts)) return undefined;
    const kept = this.#kept.get(id);
    const config = kept?.config ?? decodeContainerSpec(facts.identity.extra.spec);
    const saved = this.#deps.resources.get(id);
    const asked =
      saved === undefined
        ? config?.linux?.resources
        : fromBinary(LinuxContainerResourcesSchema, saved);
    const host = kept?.process.host ?? facts.inspect?.HostConfig ?? {};
    const pod = this.#deps.index.peek(facts.identity.podSandboxId);
    return toNriContainer({
      facts,
      process: kept?.process,
      config,
      resources: asked === undefined ? hostConfigResources(host) : toNriResources(asked),
      image: this.#deps.index.images.peek(facts.imageId),
      engine: this.#deps.factsNow(),
      cgroupParent:
        decodeSandboxSpec(pod?.identity.extra.spec)?.linux?.cgroupParent ?? host.CgroupParent ?? "",
      netns: pod === undefined ? "" : this.#netns(pod),
      atCreate,
    });
  }

  /** A create is seen: what it was asked for is known. */
  made({ id, body, config, sandbox }: MadeContainer): void {
    const image = this.#deps.index.images.peek(this.#deps.index.peek(id)?.imageId ?? "");
    const byName = image ?? this.#deps.index.images.peek(config.image?.image ?? "");
    const process = processOfCreate(body, byName?.inspect.Config, hostnameOf(sandbox));
    this.#kept.set(id, { process, config });
  }

  /** Asks Docker about those whose create was not seen; what it does not say in time stays unknown. */
  async learn(entries: readonly ContainerEntry[]): Promise<void> {
    await Promise.all(
      entries.map(async (entry) => {
        if (!isContainer(entry) || this.#kept.has(entry.id)) return;
        const inspect = await this.#deps.engine.inspectContainer(entry.id).catch(() => undefined);
        if (inspect === undefined) return;
        const pod = this.#deps.index.peek(entry.identity.podSandboxId);
        const process = processOfInspect(inspect, pod === undefined ? "" : hostnameOf(pod));
        this.#kept.set(entry.id, { process });
      }),
    );
  }

  drop(id: string): void {
    this.#kept.delete(id);
  }

  clear(): void {
    this.#kept.clear();
  }

  /** The path where it is pinned, Dockline's or Docker's, as long as there is a process that has it. */
  #netns(pod: ContainerEntry): string {
    const options = decodeSandboxSpec(pod.identity.extra.spec)?.linux?.securityContext;
    if (isHostNetwork(options?.namespaceOptions) || !pod.state.Running) return "";
    const record = this.#deps.records.byId(pod.id);
    if (record?.hostNetwork === true) return "";
    const { SandboxKey: key = "" } = pod.inspect?.NetworkSettings ?? {};
    return record?.netns ?? key;
  }
}

function decoded(base64: string | undefined): LinuxContainerResources | undefined {
  if (base64 === undefined) return undefined;
  return fromBinary(LinuxContainerResourcesSchema, Buffer.from(base64, "base64"));
}

/** Containers have the one of their pod's pause container. */
function hostnameOf(pod: ContainerEntry): string {
  const spec = decodeSandboxSpec(pod.identity.extra.spec);
  if (isHostNetwork(spec?.linux?.securityContext?.namespaceOptions)) return hostname();
  const asked = spec?.hostname ?? "";
  return asked === "" ? pod.id.slice(0, 12) : asked;
}
