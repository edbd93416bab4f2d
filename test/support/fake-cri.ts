import { create } from "@bufbuild/protobuf";
import type { PlayServices } from "../../src/cli/play/services.ts";
import {
  ContainerState,
  ContainerStatusResponseSchema,
  CreateContainerResponseSchema,
  ExecSyncResponseSchema,
  ImageStatusResponseSchema,
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  PodSandboxState,
  PodSandboxStatusResponseSchema,
  PullImageResponseSchema,
  RemoveContainerResponseSchema,
  RemovePodSandboxResponseSchema,
  RunPodSandboxResponseSchema,
  StartContainerResponseSchema,
  StopContainerResponseSchema,
  StopPodSandboxResponseSchema,
} from "../../src/gen/runtime/v1/api_pb.js";

export interface FakeCriContainer {
  id: string;
  name: string;
  attempt: number;
  sandboxId: string;
  state: ContainerState;
  exitCode: number;
  envs: Record<string, string>;
  args: string[];
  logPath: string;
}

interface FakeSandbox {
  id: string;
  uid: string;
  annotations: Record<string, string>;
  state: PodSandboxState;
}

/** An error as a call of grpc-js rejects with. */
export const callError = (code: number, details: string): Error =>
  Object.assign(new Error(`${code} SOMETHING: ${details}`), { code, details });

const later = <T>(work: () => T): Promise<T> => Promise.resolve().then(work);

/** A CRI server's behaviour as `dockline play` sees it, in memory. */
export class FakeCri {
  readonly sandboxes: FakeSandbox[] = [];
  readonly containers: FakeCriContainer[] = [];
  /** Names of calls that change something, with their subject. */
  readonly changes: string[] = [];
  /** Called when a container is started: the test ends it, or lets it run. */
  onStart: (container: FakeCriContainer) => void = () => undefined;
  /** Thrown by the next calls of an RPC, by name. */
  readonly failures = new Map<string, Error>();
  image: { id: string; uid?: { value: bigint }; username?: string } | undefined = {
    id: "sha256:1",
  };
  #count = 0;

  end(container: FakeCriContainer, exitCode: number): void {
    container.state = ContainerState.CONTAINER_EXITED;
    container.exitCode = exitCode;
  }
  get(name: string): FakeCriContainer {
    const found = this.containers.findLast((container) => container.name === name);
    if (found === undefined) throw new Error(`no container ${name}`);
    return found;
  }

  readonly images: PlayServices["images"] = {
    imageStatus: () =>
      Promise.resolve(
        create(ImageStatusResponseSchema, this.image === undefined ? {} : { image: this.image }),
      ),
    pullImage: ({ image }) => {
      this.#did("pullImage", image?.image ?? "");
      this.image = { id: "sha256:2" };
      return Promise.resolve(create(PullImageResponseSchema, {}));
    },
  };

  readonly runtime: PlayServices["runtime"] = {
    runPodSandbox: ({ config }) =>
      later(() => {
        this.#did("runPodSandbox", config?.metadata?.name ?? "");
        const id = `pod${(this.#count += 1)}`;
        this.sandboxes.push({
          id,
          uid: config?.metadata?.uid ?? "",
          annotations: { ...config?.annotations },
          state: PodSandboxState.SANDBOX_READY,
        });
        return create(RunPodSandboxResponseSchema, { podSandboxId: id });
      }),
    podSandboxStatus: ({ podSandboxId }) =>
      later(() => {
        const found = this.sandboxes.find(({ id }) => id === podSandboxId);
        if (found === undefined) throw callError(5, "no such pod");
        const status = { id: found.id, state: found.state, network: { ip: "10.1.2.3" } };
        return create(PodSandboxStatusResponseSchema, { status });
      }),
    listPodSandbox: ({ filter }) =>
      later(() => {
        const uid = filter?.labelSelector?.["io.kubernetes.pod.uid"];
        const items = this.sandboxes
          .filter((sandbox) => sandbox.uid === uid)
          .map(({ id, annotations, state }) => ({ id, annotations, state }));
        return create(ListPodSandboxResponseSchema, { items });
      }),
    stopPodSandbox: ({ podSandboxId = "" }) =>
      later(() => {
        this.#did("stopPodSandbox", podSandboxId);
        return create(StopPodSandboxResponseSchema, {});
      }),
    removePodSandbox: ({ podSandboxId = "" }) =>
      later(() => {
        this.#did("removePodSandbox", podSandboxId);
        const keep = this.containers.filter(({ sandboxId }) => sandboxId !== podSandboxId);
        this.containers.splice(0, Infinity, ...keep);
        const left = this.sandboxes.filter(({ id }) => id !== podSandboxId);
        this.sandboxes.splice(0, Infinity, ...left);
        return create(RemovePodSandboxResponseSchema, {});
      }),
    createContainer: ({ podSandboxId = "", config }) =>
      later(() => {
        const { name = "", attempt = 0 } = config?.metadata ?? {};
        this.#did("createContainer", `${name}/${attempt}`);
        const id = `container${(this.#count += 1)}`;
        this.containers.push({
          id,
          name,
          attempt,
          sandboxId: podSandboxId,
          state: ContainerState.CONTAINER_CREATED,
          exitCode: 0,
          envs: Object.fromEntries(
            (config?.envs ?? []).map(({ key = "", value }) => [
              key,
              Buffer.from(value ?? new Uint8Array()).toString(),
            ]),
          ),
          args: [...(config?.args ?? [])],
          logPath: config?.logPath ?? "",
        });
        return create(CreateContainerResponseSchema, { containerId: id });
      }),
    startContainer: ({ containerId = "" }) =>
      later(() => {
        const container = this.#find(containerId);
        this.#did("startContainer", `${container.name}/${container.attempt}`);
        container.state = ContainerState.CONTAINER_RUNNING;
        this.onStart(container);
        return create(StartContainerResponseSchema, {});
      }),
    stopContainer: ({ containerId = "", timeout }) =>
      later(() => {
        const container = this.#find(containerId);
        this.#did("stopContainer", `${container.name}/${container.attempt} ${timeout ?? 0n}`);
        if (container.state === ContainerState.CONTAINER_RUNNING) this.end(container, 137);
        return create(StopContainerResponseSchema, {});
      }),
    removeContainer: ({ containerId = "" }) =>
      later(() => {
        const { name, attempt } = this.#find(containerId);
        this.#did("removeContainer", `${name}/${attempt}`);
        this.containers.splice(
          this.containers.findIndex(({ id }) => id === containerId),
          1,
        );
        return create(RemoveContainerResponseSchema, {});
      }),
    containerStatus: ({ containerId = "" }) =>
      later(() => {
        this.#fail("containerStatus");
        const { id, state, exitCode } = this.#find(containerId);
        return create(ContainerStatusResponseSchema, { status: { id, state, exitCode } });
      }),
    listContainers: ({ filter }) =>
      later(() => {
        const containers = this.containers
          .filter(({ sandboxId }) => sandboxId === filter?.podSandboxId)
          .map(({ id, name, attempt, state }) => ({ id, state, metadata: { name, attempt } }));
        return create(ListContainersResponseSchema, { containers });
      }),
    execSync: () => Promise.resolve(create(ExecSyncResponseSchema, {})),
  };

  #find(containerId: string): FakeCriContainer {
    const found = this.containers.find(({ id }) => id === containerId);
    if (found === undefined) throw callError(5, `no container ${containerId}`);
    return found;
  }

  #did(rpc: string, subject: string): void {
    this.changes.push(`${rpc} ${subject}`);
    this.#fail(rpc);
  }

  #fail(rpc: string): void {
    const failure = this.failures.get(rpc);
    if (failure === undefined) return;
    this.failures.delete(rpc);
    throw failure;
  }
}
