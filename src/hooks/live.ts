import type { Duplex } from "node:stream";
import { CriError, errorText } from "../errors.ts";
import { Event } from "../gen/nri/v1alpha1/api_pb.js";
import type { Change, ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import type { Merging } from "../nri/adjust.ts";
import type { Timeouts } from "../nri/plugin-options.ts";
import { Plugin } from "../nri/plugin.ts";
import type { Asked } from "../nri/asked.ts";
import { Relay, type Snapshot } from "../nri/relay.ts";
import { Code, TtrpcError } from "../nri/ttrpc.ts";
import { settleWithin } from "../sys/abort.ts";
import { outsideCall } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import type { Adjuster } from "./adjuster.ts";
import { ContainerEvents } from "./container-events.ts";
import { PodEvents } from "./pod-events.ts";
import { Models, type ModelDeps } from "./models.ts";

export interface LiveDeps extends ModelDeps {
  readonly index: ContainerIndex;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeouts: Timeouts;
  readonly runtimeVersion: string;
  readonly merging: Merging;
  readonly adjuster: Adjuster;
  /** Made by a call that is under way: it is reported, or revealed. */
  isBeingMade(name: string): boolean;
  reveal(name: string): void;
  isUnfinished(entry: ContainerEntry): boolean;
  changed(): void;
  asked(asked: Asked): void;
}

/** What is asked of Docker before a plugin is informed of what exists may take this long. */
const learnMs = 2_000;
const syncedPollMs = 100;

/** What happens to pods and containers, told to plugins. Loaded when the first one connects. */
export class LiveHooks {
  readonly relay: Relay;
  readonly #deps: LiveDeps;
  readonly #models: Models;
  readonly pods: PodEvents;
  readonly containers: ContainerEvents;
  readonly #unsubscribe: () => void;
  /** Connections, from the first byte on. */
  readonly #connected = new Set<Plugin>();
  #closing = false;

  constructor(deps: LiveDeps) {
    this.#deps = deps;
    this.#models = new Models(deps);
    this.relay = new Relay({
      ...deps,
      prepare: (plugin) => this.#prepare(plugin),
      snapshot: () => this.#snapshot(),
      update: (updates) => deps.adjuster.update(updates),
      changed: () => {
        if (!this.relay.active) this.#forget();
        deps.changed();
      },
    });
    const shared = { ...deps, relay: this.relay, models: this.#models };
    this.pods = new PodEvents(shared);
    this.containers = new ContainerEvents({ ...shared, pods: this.pods });
    this.#unsubscribe = deps.index.onChange((change) => this.#changed(change));
  }

  /**
   * Takes a plugin in. Resolves when it has registered, or failed to; it joins afterwards.
   *
   * @returns what resolves when it has joined, or failed to
   */
  async accept(
    stream: Duplex,
    launched?: { name: string; index: string; config: string },
  ): Promise<{ joined: Promise<void> }> {
    const { clock, log, timeouts, runtimeVersion } = this.#deps;
    if (this.#closing) {
      stream.destroy();
      return { joined: Promise.resolve() };
    }
    const plugin: Plugin = new Plugin({
      ...{ stream, clock, timeouts, runtimeVersion },
      ...(launched === undefined ? {} : { launched }),
      onUpdate: (request) => this.#unsolicited(plugin, request),
      onClose: (reason) => {
        this.#connected.delete(plugin);
        this.relay.left(plugin);
        if (plugin.fullName === "") return;
        log.info({ plugin: plugin.fullName, reason }, "an NRI plugin is disconnected");
      },
    });
    this.#connected.add(plugin);
    const failed = (error: unknown): void => {
      // Somebody who only looked whether anybody listens.
      if (plugin.fullName === "" && plugin.lastError === "") return;
      const why = { plugin: plugin.fullName, error: errorText(error) };
      log.warn(why, "an NRI plugin could not join");
    };
    try {
      await plugin.begin();
    } catch (error) {
      failed(error);
      return { joined: Promise.resolve() };
    }
    const joined = this.relay.join(plugin).then(() => {
      const { fullName, nriVersion } = plugin;
      log.info({ plugin: fullName, nriVersion }, "an NRI plugin is connected");
    }, failed);
    return { joined };
  }

  /** Somebody wants to be asked about creates. */
  get adjusting(): boolean {
    return this.relay.subscribed(Event.CREATE_CONTAINER);
  }

  /** Somebody may refuse a container as it is created: until they have agreed its create is not finished. */
  get judging(): boolean {
    if (this.#deps.merging.validate !== undefined || this.adjusting) return true;
    return this.relay.subscribed(Event.VALIDATE_CONTAINER_ADJUSTMENT);
  }

  /** Ends all connections, also of plugins that have not joined, and takes no new ones. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#unsubscribe();
    await Promise.all([...this.#connected].map((plugin) => plugin.shutdown()));
  }

  /** What happens without a call: a container ends, or somebody removes it behind our back. */
  #changed({ kind, entry }: Change): void {
    if (!this.relay.active || (kind !== "stopped" && kind !== "deleted")) return;
    const { id } = entry;
    const isContainer = entry.kind === "container";
    if (
      isContainer
        ? this.containers.states.of(id) === undefined
        : this.pods.states.of(id) === undefined
    )
      return;
    // A pod's own end is reported by those who stop it: its pause container alone may have ended.
    if (!isContainer && kind === "stopped") return;
    outsideCall(() => {
      const told = !isContainer
        ? this.pods.stop(id)
        : kind === "stopped"
          ? this.containers.stopped(id)
          : this.containers.remove(id);
      told.catch((error: unknown) => {
        this.#deps.log.warn({ containerId: id, error: errorText(error) }, "NRI event failed");
      });
    });
  }

  async #prepare(plugin: Plugin): Promise<void> {
    const { index, clock } = this.#deps;
    while (!index.health.synced && plugin.closedBecause === undefined) {
      await clock.sleep(syncedPollMs);
    }
    if (plugin.closedBecause !== undefined) return;
    const all = await index.containers();
    await settleWithin(this.#models.learn(all.filter(isTold)), learnMs, clock);
  }

  async #snapshot(): Promise<Snapshot> {
    const { index } = this.#deps;
    // What was noted while nobody was there says nothing of what the next one was informed of.
    if (this.relay.plugins.length === 0) this.#forgetStates();
    const [sandboxes, all] = await Promise.all([index.sandboxes(), index.containers()]);
    const shown = (entry: ContainerEntry): boolean =>
      !this.#deps.isBeingMade(entry.name) && !this.#deps.isUnfinished(entry);
    const pods = sandboxes.filter(shown).flatMap(({ id, state }) => {
      const pod = this.#models.pod(id);
      if (pod === undefined) return [];
      const phase = this.#deps.records.byId(id)?.phase ?? "ready";
      const isStopped = phase === "stopped" || phase === "stopping" || !state.Running;
      if (this.pods.states.of(id) === undefined)
        this.pods.states.set(id, isStopped ? "stopped" : "running", pod);
      return [pod];
    });
    const containers = all
      .filter((entry) => shown(entry) && isTold(entry))
      .flatMap((entry) => {
        const container = this.#models.container(entry.id);
        if (container === undefined) return [];
        if (this.containers.states.of(entry.id) === undefined) {
          const told = entry.state.Status === "created" ? "created" : "running";
          this.containers.states.set(entry.id, told, container);
        }
        return [container];
      });
    return { pods, containers };
  }

  async #unsolicited(plugin: Plugin, request: Parameters<Merging["updatesOf"]>[1]): Promise<void> {
    let failed: ReadonlyMap<string, string>;
    try {
      const updates = this.#deps.merging.updatesOf(plugin.fullName, request);
      failed = await this.#deps.adjuster.update(updates);
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      const code = error.kind === "Unimplemented" ? Code.unimplemented : Code.unknown;
      throw new TtrpcError(code, errorText(error));
    }
    if (failed.size === 0) return;
    const why = [...failed].map(([id, reason]) => `${id}: ${reason}`).join("; ");
    throw new TtrpcError(Code.unknown, `not updated: ${why}`.slice(0, 2000));
  }

  /** The last plugin has gone: the next one is informed of what there is by then. */
  #forget(): void {
    this.#forgetStates();
    this.#models.clear();
  }

  #forgetStates(): void {
    this.pods.states.clear();
    this.containers.states.clear();
  }
}

/** What has ended is not reported to a plugin that comes later. */
function isTold({ state }: ContainerEntry): boolean {
  const unstarted = state.Status === "created" && state.ExitCode === 0;
  return state.Running || state.Paused || unstarted;
}
