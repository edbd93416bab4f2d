import { isHostNetwork } from "../convert/namespaces.ts";
import type { EngineFacts } from "../convert/engine-facts.ts";
import { editingRuntime } from "../convert/runtime-handler.ts";
import { toPodIds } from "../convert/user-namespace.ts";
import { errorText } from "../errors.ts";
import type { PodSandboxConfig } from "../gen/runtime/v1/api_pb.js";
import type { Logger } from "../log.ts";
import type { PodNamespaces } from "../network/pod-namespaces.ts";
import type { NetnsOwners } from "../state/netns-owners.ts";
import type { Clock } from "../sys/clock.ts";

export interface OwnNetnsDeps {
  /** Must know this Dockline before it makes a namespace, or another one takes it away. */
  owners: Pick<NetnsOwners, "add">;
  namespaces: Pick<PodNamespaces, "share" | "newPath" | "make" | "ipv6IsKept" | "remove">;
  /** False where an operator leaves the namespaces to Docker. */
  isOn: boolean;
  /** Which engine answers now: what was learned of one says nothing of another. */
  engine: () => string;
  clock: Pick<Clock, "monotonicMs">;
  log: Logger;
}

/** The pod that is asked for. */
export interface AskedPod {
  config: PodSandboxConfig;
  runtimeHandler: string;
}

/** What a container start fails with where the pinned namespace cannot be seen; deploy/oci/src/netns.c says it. */
const notVisible = "does not exist where containers are started";
/** A namespace that could not be made or joined is tried again after this. */
const againMs = 600_000;

/**
 * Network namespaces that Dockline makes for pods, in place of Docker's: a pod keeps its address when its pause
 * container is restarted, agents in pods find the namespace at /var/run/netns, and CNI ADD need not wait for
 * Docker. They need dockline-oci. A pod with a user namespace has Docker's: the kernel lets root of a user namespace mount sysfs and set
 * sysctls only in a network namespace that was made inside of it, by the real runtime.
 */
export class OwnNetns {
  readonly #deps: OwnNetnsDeps;
  /** Engines that leave IPv6 alone in a namespace that they are given, and those that do not. */
  readonly #ipv6Kept = new Map<string, boolean>();
  #trouble: { engine: string; reason: string; sinceMs: number } | undefined;

  constructor(deps: OwnNetnsDeps) {
    this.#deps = deps;
  }

  /** Path for the namespace of a new pod; undefined when Docker is to make it. Nothing is made yet. */
  plan({ config, runtimeHandler }: AskedPod, facts: EngineFacts): string | undefined {
    const options = config.linux?.securityContext?.namespaceOptions;
    if (!this.#deps.isOn || isHostNetwork(options) || toPodIds(options) !== undefined) return;
    if (editingRuntime(runtimeHandler, facts)?.networkNamespaces !== true) return;
    if (this.trouble !== undefined) return;
    return this.#deps.namespaces.newPath();
  }

  /** Before the first pod: agents that are started before it must see what comes. Never rejects. */
  async prepare(facts: EngineFacts): Promise<void> {
    if (!this.#deps.isOn) return;
    if (facts.editingRuntimes?.some((one) => one.networkNamespaces === true) !== true) return;
    await this.#deps.namespaces.share().catch((error: unknown) => {
      this.giveUp(error);
    });
  }

  /** Why Docker makes the namespaces for now, on a node that has what Dockline needs for it. */
  get trouble(): string | undefined {
    const { clock } = this.#deps;
    const found = this.#trouble;
    if (found === undefined || found.engine !== this.#deps.engine()) return undefined;
    return clock.monotonicMs() - found.sinceMs < againMs ? found.reason : undefined;
  }

  /**
   * What the engine does to IPv6 in a namespace that it is given: Docker 20.10 switches it off when the container
   * starts, and what CNI had put there is gone. Undefined until the first pod has shown it.
   */
  get ipv6IsKept(): boolean | undefined {
    return this.#ipv6Kept.get(this.#deps.engine());
  }

  /**
   * Returns whether it is marked: then `learn` must follow the start of the pause container.
   *
   * @throws Error with the words of dockline-oci
   */
  async make(path: string, sysctls: Readonly<Record<string, string>> = {}): Promise<boolean> {
    // A pod that switches IPv6 off itself shows nothing.
    const isPods = Object.keys(sysctls).some((name) => name.includes("disable_ipv6"));
    const mark = this.ipv6IsKept === undefined && !isPods;
    await this.#deps.owners.add();
    await this.#deps.namespaces.make(path, { mark });
    this.#deps.log.debug({ netns: path }, "made a network namespace");
    return mark;
  }

  /** What the engine has done to a marked namespace, whose mark is taken off. */
  async learn(path: string): Promise<void> {
    const engine = this.#deps.engine();
    const isKept = await this.#deps.namespaces.ipv6IsKept(path);
    if (this.#ipv6Kept.has(engine)) return;
    this.#deps.log.info(
      { engine, ipv6IsKept: isKept },
      "network namespaces of pods are Dockline's",
    );
    this.#ipv6Kept.set(engine, isKept);
  }

  /** True when a start failed because the engine does not see the namespace: it has mounts of its own. */
  isNotVisible(error: unknown): boolean {
    return errorText(error).includes(notVisible);
  }

  /** Pods get Docker's namespaces from now on, and their own again later. */
  giveUp(error: unknown): void {
    const { clock, engine, log } = this.#deps;
    const reason = errorText(error);
    this.#trouble = { engine: engine(), reason, sinceMs: clock.monotonicMs() };
    log.warn({ error: reason }, "Docker makes the network namespaces of pods");
  }

  /** Some could not be removed: a collection is owed. */
  hasLeft = false;

  /** After DEL. One that cannot be removed is in nobody's way, and is collected later. */
  async remove(path: string): Promise<void> {
    try {
      await this.#deps.namespaces.remove(path);
    } catch (error) {
      this.hasLeft = true;
      const about = { netns: path, error: errorText(error) };
      this.#deps.log.warn(about, "a network namespace could not be removed");
    }
  }
}
