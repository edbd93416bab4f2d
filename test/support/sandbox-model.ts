import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { configHash } from "../../src/convert/config-hash.ts";
import { readIdentity } from "../../src/convert/labels.ts";
import { sandboxName } from "../../src/convert/names.ts";
import { EngineError } from "../../src/engine/errors.ts";
import type { ContainerCreate, ContainerInspect } from "../../src/engine/types.ts";
import { NamespaceMode, PodSandboxConfigSchema } from "../../src/gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../../src/index/container-index.ts";
import { silentLogger } from "../../src/log.ts";
import type { NetworkAttachment } from "../../src/network/attachment.ts";
import { CniError } from "../../src/network/cni-error.ts";
import type { SetUpRequest } from "../../src/network/attachment.ts";
import { noHooks } from "../../src/pods/hooks.ts";
import type { SandboxDeps } from "../../src/pods/sandbox-deps.ts";
import type { WantedSandbox } from "../../src/pods/pause-container.ts";
import { requireNotStopping } from "../../src/rpc/container-start.ts";
import { Sandboxes } from "../../src/pods/sandboxes.ts";
import { engineFacts, unknownEngine } from "../../src/daemon/node-facts.ts";
import type { SandboxRecord } from "../../src/state/sandbox-records.ts";
import { modelNetns } from "./model-netns.ts";
import { KeyedMutex } from "../../src/sys/mutex.ts";

interface FakeContainer {
  id: string;
  name: string;
  spec: ContainerCreate;
  running: boolean;
  started: boolean;
  /** Somebody's: each has a namespace of its own. */
  restarts: number;
  dirty: boolean;
}

/** What a gate lets happen: the effect and its answer, the effect alone, or neither. */
export type Outcome = "done" | "lost" | "failed";

type GateOf = <T>(what: string, effect: () => T) => Promise<T>;

interface Gate {
  what: string;
  open(outcome: Outcome): void;
}

/**
 * A node for the Sandbox alone: engine, plugins and disk in memory. Every effect waits at a gate that the
 * test opens in an order of its own, and `kill` is `kill -9`: whatever waits never goes on, while what has
 * happened stays. Broken promises of the CRI are thrown as errors.
 */
export class SandboxModel {
  readonly containers = new Map<string, FakeContainer>();
  /** Address by the pause container that holds it. */
  readonly addresses = new Map<string, string>();
  /** Paths of network namespaces that are pinned. */
  readonly namespaces = new Set<string>();
  readonly gates: Gate[] = [];
  /** Errors that work which nobody waits for has met; they are faults of the Sandbox. */
  readonly broken: string[] = [];
  /** What ADD was asked for. */
  readonly asked: SetUpRequest[] = [];
  /** DEL of a pod without a record. */
  legacyDel: () => Promise<void> = () => Promise.resolve();
  sandboxes: Sandboxes;
  deps: SandboxDeps;
  records: SandboxRecord[] = [];
  readonly #root: string;
  readonly #attaching = new Set<string>();
  /** Starts that are with the engine, by container. */
  readonly #starts = new Map<string, Promise<boolean>>();
  #ids = 0;
  #process = 0;

  readonly #makesNetns: boolean;

  /** @param makesNetns as with dockline-oci: Dockline makes the pods' network namespaces */
  constructor(root: string, abandonedMs: number, makesNetns = false) {
    this.#root = root;
    this.#makesNetns = makesNetns;
    mkdirSync(join(root, "containers"), { recursive: true });
    writeFileSync(join(root, "containers", "resolv.conf"), "");
    this.deps = this.#deps();
    this.sandboxes = this.start(abandonedMs);
  }

  /** After `kill`: a new process on the same disk and engine. */
  start(abandonedMs: number): Sandboxes {
    this.deps = this.#deps();
    this.sandboxes = new Sandboxes(this.deps, abandonedMs);
    return this.sandboxes;
  }

  /** Nothing that waits goes on. */
  kill(): void {
    this.#process += 1;
    this.gates.length = 0;
    this.#starts.clear();
    // What plugins of before still do is ended by the DEL (endOrphanedPlugins).
    this.#attaching.clear();
  }

  pauseOf(name: string): FakeContainer[] {
    return [...this.containers.values()].filter((one) => one.name.startsWith(name));
  }

  members(podSandboxId: string): FakeContainer[] {
    return [...this.containers.values()].filter(
      ({ spec }) => spec.Labels["io.kubernetes.sandbox.id"] === podSandboxId,
    );
  }

  recordOf(id: string): SandboxRecord | undefined {
    return this.records.find((record) => record.id === id);
  }

  /** A container of a pod, which StartContainer then starts. */
  addMember(podSandboxId: string): void {
    const id = this.#newId();
    const labels = {
      "io.kubernetes.docker.type": "container",
      "io.kubernetes.container.name": "main",
      "io.kubernetes.pod.name": "web",
      "io.kubernetes.pod.namespace": "shop",
      "io.kubernetes.pod.uid": "u",
      "io.kubernetes.sandbox.id": podSandboxId,
    };
    const spec = { Image: "i", Labels: labels, HostConfig: {} } as ContainerCreate;
    const name = `k8s_main_web_shop_u_${this.#ids}`;
    const member = { id, name, spec, ...notStarted };
    this.containers.set(id, member);
    void this.#startMember(member).catch((error: unknown) => {
      if (error instanceof TypeError) this.broken.push(error.message);
    });
  }

  /** As StartContainer does, of which only the order counts here. */
  async #startMember(member: FakeContainer): Promise<void> {
    const process = this.#process;
    const { deps } = this;
    await deps.locks.run(`container:${member.name}`, async () => {
      await this.#pass(process, "prepare", () => undefined);
      requireNotStopping(deps, this.#entry(member));
      await deps.engine.startContainer(member.id);
    });
  }

  /** Of one process: after its `kill` nothing of it passes a gate. */
  async #pass<T>(process: number, what: string, effect: () => T): Promise<T> {
    if (process !== this.#process) return await new Promise<never>(() => undefined);
    const outcome = await new Promise<Outcome>((open) => this.gates.push({ what, open }));
    if (outcome === "failed") throw failureOf(what);
    const result = effect();
    // A plugin's or the disk's answer is not lost without the process.
    if (outcome === "lost" && !/^(ADD|DEL|disk|sleep)/.test(what)) throw lost(what);
    return result;
  }

  #newId(): string {
    this.#ids += 1;
    return this.#ids.toString(16).padStart(64, "0");
  }

  #require(id: string): FakeContainer {
    const found =
      this.containers.get(id) ?? [...this.containers.values()].find(({ name }) => name === id);
    if (found === undefined) throw status(404, "no such container");
    return found;
  }

  #entry(found: FakeContainer): ContainerEntry {
    const identity = readIdentity({ name: found.name, labels: found.spec.Labels });
    if (identity === undefined) throw new Error("the model makes containers of pods alone");
    const inspect = this.#inspect(found);
    const { id, name, dirty } = found;
    return {
      ...{ id, name, kind: identity.kind, identity, imageId: "i", image: "i", createdAtNs: 1n },
      ...{ state: inspect.State, inspect, revision: 1, dirty },
    };
  }

  #inspect({ id, name, spec, running, started, restarts }: FakeContainer): ContainerInspect {
    const Status = running ? "running" : started ? "exited" : "created";
    return {
      Id: id,
      Name: `/${name}`,
      State: { Status, Running: running, Paused: false, Pid: 0, ExitCode: 0, Error: "" },
      Config: { Labels: spec.Labels },
      HostConfig: spec.HostConfig,
      ResolvConfPath: join(this.#root, "containers", "resolv.conf"),
      NetworkSettings: { SandboxKey: running ? `/netns/${id}.${restarts}` : "" },
    } as unknown as ContainerInspect;
  }

  #deps(): SandboxDeps {
    const process = this.#process;
    const gate: GateOf = (what, effect) => this.#pass(process, what, effect);
    const engine = {
      createContainer: (name: string, spec: ContainerCreate) =>
        gate("create", () => {
          if ([...this.containers.values()].some((one) => one.name === name)) {
            throw status(409, "name in use");
          }
          const id = this.#newId();
          this.containers.set(id, { ...{ id, name, spec }, ...notStarted });
          return { id, warnings: [] };
        }),
      startContainer: (id: string) => {
        const start = gate("start", () => {
          const pod = this.#require(id).spec.Labels["io.kubernetes.sandbox.id"];
          if (pod !== undefined && this.containers.get(pod)?.running !== true) {
            throw status(500, "cannot join network of a non running container");
          }
          Object.assign(this.#require(id), { running: true, started: true });
          return true;
        });
        this.#starts.set(id, start);
        return start;
      },
      inspectContainer: (id: string) => gate("inspect", () => this.#inspect(this.#require(id))),
      killContainer: async (id: string) => {
        // Docker does one thing at a time with a container.
        await this.#starts.get(id)?.catch(() => undefined);
        await gate("kill", () => {
          const found = this.#require(id);
          if (!found.running) throw status(409, "not running");
          found.running = false;
        });
      },
      removeContainer: (id: string) =>
        gate("remove", () => void this.containers.delete(this.#require(id).id)),
    };
    const entries = (kind: string): ContainerEntry[] =>
      [...this.containers.values()]
        .map((one) => this.#entry(one))
        .filter((entry) => entry.kind === kind);
    const peek = (id: string): ContainerEntry | undefined => {
      const found = this.containers.get(id);
      return found === undefined ? undefined : this.#entry(found);
    };
    const peekMembers = (id: string): ContainerEntry[] =>
      this.members(id).map((member) => this.#entry(member));
    const nothing = (): void => undefined;
    const index = {
      sandboxes: () => Promise.resolve(entries("podsandbox")),
      find: (_kind: string, id: string) => Promise.resolve(peek(id)),
      byName: (name: string) =>
        Promise.resolve(entries("podsandbox").find((entry) => entry.name === name)),
      membersOf: (id: string) => Promise.resolve(peekMembers(id)),
      ...{ peek, peekMembers, mark: nothing, created: nothing, observed: nothing },
      ...{ touched: nothing, removed: nothing, touchedRecord: nothing },
    };
    return {
      ...{ engine, index, records: this.#recordStore(gate), network: this.#network(gate) },
      ownNetns: modelNetns(this.#makesNetns, {
        make: (path) => gate("netns", () => void this.namespaces.add(path)),
        remove: (path) => gate("netns", () => this.#unpin(path)),
      }),
      edits: { write: () => Promise.resolve() },
      logs: { remove: () => Promise.resolve() },
      facts: () => Promise.resolve(facts(this.#root, this.#makesNetns)),
      pause: { reference: "pause", ensure: () => Promise.resolve() },
      users: { learn: nothing },
      clock: { sleep: () => gate("sleep", nothing), nowNs: () => 1n, monotonicMs: () => 0 },
      log: silentLogger,
      locks: new KeyedMutex(),
      hooks: noHooks,
    } as unknown as SandboxDeps;
  }

  /** Memory of one process over the disk, as SandboxRecords has it. */
  #recordStore(gate: GateOf): object {
    const memory = new Map(this.records.map((record) => [record.name, record]));
    const write = (record: SandboxRecord): Promise<void> =>
      gate("disk", () => {
        this.records = [...this.records.filter(({ name }) => name !== record.name), record];
      });
    return {
      all: () => [...memory.values()],
      byName: (name: SandboxRecord["name"]) => memory.get(name),
      byId: (id: string) => [...memory.values()].find((record) => record.id === id),
      byIdPrefix: (id: string) => [...memory.values()].find((record) => record.id === id),
      save: async (record: SandboxRecord) => {
        await write(record);
        memory.set(record.name, record);
      },
      saveIfPossible: async (record: SandboxRecord) => {
        memory.set(record.name, record);
        await write(record).catch(() => undefined);
      },
      delete: async ({ name }: SandboxRecord) => {
        await gate("disk", () => {
          this.records = this.records.filter((record) => record.name !== name);
        });
        memory.delete(name);
      },
    };
  }

  #unpin(path: string): void {
    const owner = this.records.find(({ ownNetns }) => ownNetns === path)?.id ?? "";
    if (this.addresses.has(owner)) {
      this.broken.push(`${path} is taken away while its pod holds an address`);
    }
    this.namespaces.delete(path);
  }

  #network(gate: GateOf): object {
    const alone = async <T>(id: string, work: () => Promise<T>): Promise<T> => {
      if (this.#attaching.has(id)) this.broken.push(`plugins run twice at once for ${id}`);
      this.#attaching.add(id);
      try {
        return await work();
      } finally {
        this.#attaching.delete(id);
      }
    };
    return {
      status: () => Promise.resolve({ ready: true, reason: "", message: "" }),
      source: () => Promise.resolve({ plugins: [] }),
      setUp: async (request: SetUpRequest) => {
        const { containerId, netns } = request;
        this.asked.push(request);
        const attachment = { containerId, netns, ips: [] as string[] };
        await request.beforeAdd(attachment as unknown as NetworkAttachment);
        return await alone(containerId, async () => {
          await gate("ADD", () => this.addresses.set(containerId, `10.0.0.${this.#ids}`));
          const ips = [this.addresses.get(containerId) ?? ""];
          return { ...attachment, ips, result: {} };
        });
      },
      tearDown: async (attachment: NetworkAttachment, _netns: string, giveUp: boolean) => {
        const { containerId } = attachment;
        await alone(containerId, async () => {
          try {
            await gate("DEL", () => this.#free(containerId));
          } catch (error) {
            if (!giveUp) throw error;
            this.addresses.delete(containerId);
          }
        });
      },
      tearDownLegacy: () => this.legacyDel(),
    };
  }

  #free(containerId: string): void {
    if (this.members(containerId).some(({ running }) => running)) {
      this.broken.push(`the address of ${containerId} is given away under a running container`);
    }
    this.addresses.delete(containerId);
  }
}

const notStarted = { running: false, started: false, restarts: 0, dirty: false };

function failureOf(what: string): Error {
  if (what === "ADD" || what === "DEL") {
    return new CniError({ plugin: "model", verb: what, failure: "plugin" }, "not now");
  }
  return what === "disk" ? new Error("ENOSPC") : status(500, "no");
}

function status(code: number, message: string): EngineError {
  return new EngineError({ failure: "status", status: code, operation: "model", message });
}

const lost = (operation: string): EngineError =>
  new EngineError({ failure: "unreachable", operation, message: "connection reset" });

const facts = (dockerRootDir: string, makesNetns: boolean) =>
  engineFacts(
    { ...unknownEngine, info: { ...unknownEngine.info, DockerRootDir: dockerRootDir } },
    {
      ...{ logMaxSize: "1m", logMaxFiles: 1, shimPerPod: false, oomScoreFloor: 0 },
      missingCapabilities: [],
    },
    makesNetns ? [{ name: "dockline", recursiveReadOnly: true, networkNamespaces: true }] : [],
  );

/** What the kubelet asks for: one of three pods, the third in the host's network, in one of two forms. */
export function wantedPod(pod: number, form: number): WantedSandbox {
  const metadata = { name: `web${pod}`, namespace: "shop", uid: "u", attempt: 0 };
  const network = pod === 2 ? NamespaceMode.NODE : NamespaceMode.POD;
  const config = create(PodSandboxConfigSchema, {
    metadata,
    hostname: pod === 2 ? "" : `form${form}`,
    labels: { form: String(form) },
    annotations: { "example.com/form": String(form) },
    dnsConfig: {},
    linux: {
      cgroupParent: `/kubepods/pod${pod}`,
      securityContext: { namespaceOptions: { network } },
    },
  });
  const hash = configHash(PodSandboxConfigSchema, config, "");
  return { name: sandboxName(metadata), config, runtimeHandler: "", hash };
}
