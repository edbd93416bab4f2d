import { createHash } from "node:crypto";
import type { Engine } from "../../src/engine/engine.ts";
import type {
  ContainerCreate,
  ContainerInspect,
  ContainerSummary,
  ResourceConfig,
} from "../../src/engine/types.ts";
import { systemClock } from "../../src/sys/clock.ts";
import { inspectOf, isAlive, summaryOf } from "./fake-container.ts";
import type { FakeContainer } from "./fake-container.ts";
import { fakeDockerAsEngine } from "./fake-docker-engine.ts";
import { refuse } from "./fake-errors.ts";
import { FakeEvents, hasLabel } from "./fake-events.ts";
import { FakeExecs } from "./fake-execs.ts";
import { FakeImages } from "./fake-images.ts";

/** A request as the hooks see it: the Engine method and the object it is about. */
export interface FakeRequest {
  method: keyof Engine;
  subject: string;
}

/** Faults and behaviours; all may be replaced at any time. */
export interface FakeHooks {
  /** Before the effect: throw (EngineError), wait, or never resolve (a hang). */
  before?: ((request: FakeRequest) => void | Promise<void>) | undefined;
  /** After the effect and before the answer: throwing here is a lost answer. */
  after?: ((request: FakeRequest) => void | Promise<void>) | undefined;
  /** How a process takes its stop: default exit code 143 at once. */
  onStop?: ((container: FakeContainer) => { exitCode: number; afterMs?: number }) | undefined;
  /** A start that fails, as for a command that is not in the image. */
  onStart?:
    | ((
        container: FakeContainer,
      ) => { status: number; message: string; exitCode: number } | undefined)
    | undefined;
}

/**
 * An in-memory Docker Engine: containers with Docker's states, times, exit codes, errors and events,
 * images, execs. The methods here are the engine's own side and take effect at once; clients use
 * `asEngine()`, or HTTP through startFakeEngine. No timers run unless a hook asks for a delay.
 */
export class FakeDocker {
  readonly containers = new Map<string, FakeContainer>();
  readonly events = new FakeEvents();
  readonly images: FakeImages;
  readonly execs: FakeExecs;
  readonly hooks: FakeHooks = {};
  /** Requests served since the start, by Engine method. */
  readonly requests = new Map<string, number>();
  /** False: every request fails as if there were no engine. See `goAway`. */
  reachable = true;
  apiVersion: readonly [number, number] = [1, 47];
  minApiVersion: readonly [number, number] = [1, 24];
  dockerRoot = "/var/lib/docker";
  readonly #clockNs: () => bigint;
  readonly #names = new Map<string, string>();
  #lastNs = 0n;
  #serial = 0;

  constructor(options: { nowNs?: () => bigint } = {}) {
    this.#clockNs = options.nowNs ?? (() => systemClock.nowNs());
    this.images = new FakeImages(
      () => this.nowNs(),
      (action, id, name) => this.#emit("image", action, id, { name }),
    );
    this.execs = new FakeExecs(this, (action, container, extra) =>
      this.#containerEvent(action, container, extra),
    );
  }

  /** The engine's time; never the same twice, so that events have an order, unless the clock is set back. */
  nowNs(): bigint {
    const now = this.#clockNs();
    const setBack = this.#lastNs - now > 1_000_000_000n;
    this.#lastNs = now > this.#lastNs || setBack ? now : this.#lastNs + 1n;
    return this.#lastNs;
  }

  asEngine(): Engine {
    return fakeDockerAsEngine(this);
  }

  /** A fresh 64 digit id; the same ones in each run. */
  newId(): string {
    this.#serial += 1;
    return createHash("sha256").update(String(this.#serial)).digest("hex");
  }

  /** The engine dies: streams break and requests fail. Containers live on (live-restore). */
  goAway(): void {
    this.reachable = false;
    this.events.forget();
    this.events.cut();
  }

  comeBack(): void {
    this.reachable = true;
  }

  /** By id, unambiguous id prefix or name. */
  find(idOrName: string): FakeContainer | undefined {
    const exact = this.containers.get(idOrName);
    if (exact !== undefined) return exact;
    const named = this.#names.get(idOrName.replace(/^\//, ""));
    if (named !== undefined) return this.containers.get(named);
    if (!/^[0-9a-f]{1,63}$/.test(idOrName)) return undefined;
    const found = [...this.containers.values()].filter((c) => c.id.startsWith(idOrName));
    return found.length === 1 ? found[0] : undefined;
  }

  get(idOrName: string, operation: string): FakeContainer {
    const container = this.find(idOrName);
    if (container === undefined) throw refuse(404, operation, `No such container: ${idOrName}`);
    return container;
  }

  create(name: string, body: ContainerCreate): FakeContainer {
    const operation = "create container";
    if (!/^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) {
      throw refuse(400, operation, `Invalid container name (${name})`);
    }
    const image = this.images.get(body.Image, operation);
    const plain = name.replace(/^\//, "");
    const holder = this.#names.get(plain);
    if (holder !== undefined) {
      throw refuse(
        409,
        operation,
        `Conflict. The container name "/${plain}" is already in use by container "${holder}". ` +
          `You have to remove (or rename) that container to be able to reuse that name.`,
      );
    }
    const container: FakeContainer = {
      id: this.newId(),
      name: plain,
      createdAtNs: this.nowNs(),
      startedAtNs: 0n,
      finishedAtNs: 0n,
      body: structuredClone(body),
      hostConfig: structuredClone(body.HostConfig),
      labels: { ...image.labels, ...body.Labels },
      image,
      status: "created",
      pid: 0,
      exitCode: 0,
      error: "",
      oomKilled: false,
      files: new Map(),
    };
    this.containers.set(container.id, container);
    this.#names.set(plain, container.id);
    this.#containerEvent("create", container);
    return container;
  }

  /** False when it runs already. */
  start(idOrName: string): boolean {
    const operation = "start container";
    const container = this.get(idOrName, operation);
    if (container.status === "paused") {
      throw refuse(409, operation, "cannot start a paused container, try unpause instead");
    }
    if (container.status === "running") return false;
    if (container.status === "removing" || container.status === "dead") {
      throw refuse(409, operation, "container is marked for removal and cannot be started");
    }
    const failure = this.hooks.onStart?.(container);
    if (failure !== undefined) {
      container.exitCode = failure.exitCode;
      container.error = failure.message;
      throw refuse(failure.status, operation, failure.message);
    }
    container.status = "running";
    container.startedAtNs = this.nowNs();
    this.#serial += 1;
    container.pid = 1000 + this.#serial;
    container.exitCode = 0;
    container.error = "";
    container.oomKilled = false;
    this.#containerEvent("start", container);
    return true;
  }

  /** The process ends by itself or by a signal. */
  exit(idOrName: string, exitCode: number, options: { oomKilled?: boolean } = {}): void {
    const container = this.get(idOrName, "exit");
    if (!isAlive(container)) return;
    if (options.oomKilled === true) {
      container.oomKilled = true;
      this.#containerEvent("oom", container);
    }
    container.status = "exited";
    container.pid = 0;
    container.exitCode = exitCode;
    container.finishedAtNs = this.nowNs();
    this.execs.containerDied(container.id);
    this.#containerEvent("die", container, { exitCode: String(exitCode) });
  }

  /** False when it does not run. */
  async stop(idOrName: string, graceSeconds: number): Promise<boolean> {
    const container = this.get(idOrName, "stop container");
    if (!isAlive(container)) return false;
    const { exitCode, afterMs = 0 } = this.hooks.onStop?.(container) ?? { exitCode: 143 };
    this.#containerEvent("kill", container, { signal: "15" });
    if (afterMs > 0) {
      await systemClock.sleep(Math.min(afterMs, graceSeconds * 1000));
      if (isAlive(container) && afterMs > graceSeconds * 1000) {
        this.#containerEvent("kill", container, { signal: "9" });
        this.exit(container.id, 137);
      }
    }
    if (isAlive(container)) this.exit(container.id, exitCode);
    if (this.containers.has(container.id)) this.#containerEvent("stop", container);
    return true;
  }

  kill(idOrName: string, signal: string): void {
    const operation = "kill container";
    const container = this.get(idOrName, operation);
    if (!isAlive(container)) {
      throw refuse(
        409,
        operation,
        `Cannot kill container: ${idOrName}: Container ${container.id} is not running`,
      );
    }
    const name = signal.replace(/^SIG/, "");
    const number = new Map([
      ["KILL", 9],
      ["TERM", 15],
      ["INT", 2],
      ["HUP", 1],
      ["QUIT", 3],
    ]);
    const value = number.get(name) ?? Number(name);
    this.#containerEvent("kill", container, { signal: String(value) });
    if ([9, 15, 2, 3].includes(value)) this.exit(container.id, 128 + value);
  }

  remove(idOrName: string, options: { force: boolean }): void {
    const operation = "remove container";
    const container = this.get(idOrName, operation);
    if (isAlive(container)) {
      if (!options.force) {
        throw refuse(
          409,
          operation,
          `You cannot remove a running container ${container.id}. Stop the container before attempting removal or force remove`,
        );
      }
      this.kill(container.id, "KILL");
    }
    this.containers.delete(container.id);
    this.#names.delete(container.name);
    this.#containerEvent("destroy", container);
  }

  rename(idOrName: string, name: string): void {
    const container = this.get(idOrName, "rename container");
    const oldName = `/${container.name}`;
    this.#names.delete(container.name);
    container.name = name;
    this.#names.set(name, container.id);
    this.#containerEvent("rename", container, { oldName });
  }

  pause(idOrName: string, paused: boolean): void {
    const container = this.get(idOrName, "pause container");
    if (!isAlive(container)) throw refuse(409, "pause container", "container is not running");
    container.status = paused ? "paused" : "running";
    this.#containerEvent(paused ? "pause" : "unpause", container);
  }

  update(idOrName: string, resources: ResourceConfig): void {
    const container = this.get(idOrName, "update container");
    for (const [key, value] of Object.entries(resources)) {
      if (value !== undefined && value !== 0)
        Object.assign(container.hostConfig, { [key]: value as unknown });
    }
    this.#containerEvent("update", container);
  }

  inspect(idOrName: string): ContainerInspect {
    return inspectOf(this.get(idOrName, "inspect container"), this.dockerRoot);
  }

  /** Newest first. */
  list(labels: string[] = []): ContainerSummary[] {
    return [...this.containers.values()]
      .filter((c) => labels.every((label) => hasLabel(c.labels, label)))
      .reverse()
      .map((c) => {
        const resolves = this.images.find(c.body.Image)?.id === c.image.id;
        return summaryOf(c, resolves ? c.body.Image : c.image.id);
      });
  }

  #containerEvent(
    action: string,
    container: FakeContainer,
    extra: Record<string, string> = {},
  ): void {
    const { id, name, body, labels } = container;
    this.#emit("container", action, id, { ...labels, image: body.Image, name, ...extra });
  }

  #emit(type: string, action: string, id: string, attributes: Record<string, string>): void {
    this.events.emit({
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      timeNano: this.nowNs(),
    });
  }
}
