/*
 * src/hooks: NRI in a pod's life: what plugins learn and when, and what they ask for carried out.
 * Not here: the protocol and the merging of answers (src/nri), the translation (src/convert).
 */
import { CriError, errorText } from "../errors.ts";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry, ContainerIndex } from "../index/container-index.ts";
import type { Logger } from "../log.ts";
import { installedPlugins, type InstalledPlugin } from "../nri/discovery.ts";
import { openDoor, type Door } from "../nri/door.ts";
import type { MadeContainer, PodChange, PodHooks, StartedPod } from "../pods/hooks.ts";
import type { NriAdjustments } from "../state/nri-adjustments.ts";
import { settleWithin } from "../sys/abort.ts";
import type { Clock } from "../sys/clock.ts";
import type { LiveHooks } from "./live.ts";
import type { ModelDeps } from "./models.ts";
import { NriCounts } from "./counts.ts";
import { applySaved, savedPlan, type SavedDeps } from "./saved.ts";
import { validatorOptions, type NriOptions } from "./options.ts";
import { execEnvironment } from "../convert/nri-edits.ts";
import type { AdjustmentPlan } from "../convert/nri-adjustment.ts";

export interface GateDeps extends ModelDeps {
  /** What carries out adjustments; it is made of more than there is when the gate is built. */
  carrying(): SavedDeps;
  readonly index: ContainerIndex;
  readonly adjustments: NriAdjustments;
  readonly clock: Clock;
  readonly log: Logger;
  /** Dockline's. */
  readonly version: string;
}

/** For `crictl info`, and for the doctor. */
export interface NriInfo {
  readonly enabled: boolean;
  /** "" where nobody listens. */
  readonly socket: string;
  /** Why not, though it should. */
  readonly problem: string;
  readonly plugins: readonly object[];
}

/**
 * All there is of NRI as long as no plugin has connected: a socket and two flags. The protocol is loaded for the first
 * plugin.
 */
export class NriGate implements PodHooks {
  active = false;
  adjusting = false;
  judging = false;
  starting: Promise<void> | undefined;
  readonly counts = new NriCounts();
  readonly #deps: GateDeps;
  readonly #options: NriOptions;
  readonly #beingMade = new Set<string>();
  #door: Door | undefined;
  #problem = "";
  #live: LiveHooks | undefined;
  #loading: Promise<LiveHooks> | undefined;
  #kills: (() => void)[] = [];
  #closed = false;

  constructor(options: NriOptions, deps: GateDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Starts the plugins of the node and listens. What is wrong is logged and shown; Dockline runs without NRI then. */
  async start(): Promise<void> {
    const { enableNri, nriDisableConnections, nriListen, nriPluginDir } = this.#options;
    const { log, clock } = this.#deps;
    if (!enableNri) return;
    // It judges with nobody connected, and where nobody can connect.
    if (this.#options.nriEnableDefaultValidator) await this.#load();
    if (!nriDisableConnections) {
      const { nriPluginRegistrationTimeout: firstByteMs } = this.#options;
      try {
        this.#door = await openDoor(nriListen, firstByteMs, async (socket) => {
          try {
            await (await this.#load()).accept(socket);
          } catch (error) {
            log.error({ error: errorText(error) }, "an NRI plugin's connection failed");
            throw error;
          }
        });
      } catch (error) {
        // Somebody else's plugins are not to be started a second time either.
        this.#problem = errorText(error);
        log.error({ path: nriListen, error: this.#problem }, "NRI is off");
        return;
      }
    }
    const installed = installedPlugins(nriPluginDir, log);
    if (installed.length === 0) return;
    const { nriPluginRegistrationTimeout: registration, nriPluginRequestTimeout: request } =
      this.#options;
    const joined = Promise.all(installed.map((plugin) => this.#launch(plugin)));
    this.starting = settleWithin(joined, registration + 2 * request, clock).finally(() => {
      this.starting = undefined;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#door?.close();
    await (await this.#loading?.catch(() => undefined))?.close();
    for (const kill of this.#kills) kill();
  }

  info(): NriInfo {
    const relay = this.#live?.relay;
    const shown = [...(relay?.plugins ?? []), ...(relay?.ended ?? [])].map((plugin) => ({
      index: plugin.index,
      name: plugin.name,
      kind: plugin.kind,
      nriVersion: plugin.nriVersion,
      events: plugin.events,
      policy: plugin.policy,
      connected: plugin.closedBecause === undefined,
      lastError: plugin.lastError,
    }));
    return {
      enabled: this.#options.enableNri,
      socket: this.#door?.path ?? "",
      problem: this.#problem,
      plugins: shown,
    };
  }

  /** Plugins that are connected and synchronized. */
  get connected(): number {
    return this.#live?.relay.plugins.length ?? 0;
  }

  async #load(): Promise<LiveHooks> {
    this.#loading ??= this.#build();
    return await this.#loading;
  }

  async #build(): Promise<LiveHooks> {
    const { LiveHooks } = await import("./live.ts");
    const { createMerging } = await import("../nri/merging.ts");
    const { Adjuster } = await import("./adjuster.ts");
    const live = new LiveHooks({
      ...this.#deps,
      factsNow: () => this.#deps.factsNow(),
      runtimeVersion: this.#deps.version,
      timeouts: {
        registrationMs: this.#options.nriPluginRegistrationTimeout,
        requestMs: this.#options.nriPluginRequestTimeout,
      },
      merging: createMerging(validatorOptions(this.#options)),
      adjuster: new Adjuster(this.#deps.carrying()),
      isBeingMade: (name) => this.isBeingMade(name),
      reveal: (name) => this.reveal(name),
      isUnfinished: (entry) => this.isUnfinished(entry),
      changed: () => this.#changed(live),
      asked: (asked) => this.counts.asked(asked),
    });
    this.#live = live;
    this.#changed(live);
    return live;
  }

  #changed(live: LiveHooks): void {
    this.active = live.relay.active;
    this.adjusting = live.adjusting;
    this.judging = live.judging;
  }

  async #launch(plugin: InstalledPlugin): Promise<void> {
    const { log } = this.#deps;
    const full = `${plugin.index}-${plugin.name}`;
    try {
      const [{ launch }, { pluginConfig }] = await Promise.all([
        import("../nri/launcher.ts"),
        import("../nri/discovery.ts"),
      ]);
      const config = pluginConfig(this.#options.nriPluginConfigDir, plugin);
      const live = await this.#load();
      if (this.#closed) return;
      const launched = launch(plugin, this.#options.runDir, log, (reason) => {
        this.#problem = `plugin ${full} ${reason}`;
        log.error({ plugin: full, reason }, "a pre-installed NRI plugin has ended");
      });
      this.#kills.push(() => launched.kill());
      const { joined } = await live.accept(launched.stream, { ...plugin, config });
      await joined;
    } catch (error) {
      this.#problem = `plugin ${full}: ${errorText(error)}`;
      log.error({ plugin: full, error: errorText(error) }, "an NRI plugin cannot be started");
    }
  }

  get #there(): LiveHooks {
    if (this.#live === undefined) throw new CriError("Internal", "no NRI plugin has connected");
    return this.#live;
  }

  hide(name: string): void {
    if (this.#options.enableNri) this.#beingMade.add(name);
  }

  reveal(name: string): void {
    this.#beingMade.delete(name);
  }

  isBeingMade(name: string): boolean {
    return this.#beingMade.has(name);
  }

  isHidden(entry: ContainerEntry): boolean {
    return (this.active && this.#beingMade.has(entry.name)) || this.isUnfinished(entry);
  }

  isUnfinished({ id, identity, state }: ContainerEntry): boolean {
    // One that was started was finished, and its file was lost or damaged since.
    if (identity.extra.nri !== true || state.Status !== "created") return false;
    return this.#deps.adjustments.get(id) === undefined;
  }

  shown(entries: readonly ContainerEntry[]): readonly ContainerEntry[] {
    // The same list, which its encoded form is kept by.
    if (!entries.some((entry) => this.isHidden(entry))) return entries;
    return entries.filter((entry) => !this.isHidden(entry));
  }

  podRun = (pod: StartedPod, finish: () => Promise<void>) => this.#there.pods.run(pod, finish);
  podUpdate = (id: string, change: PodChange) => this.#there.pods.update(id, change);
  podUpdated = (id: string) => this.#there.pods.updated(id);
  podStop = (id: string) => this.#there.pods.stop(id);
  podRemove = (id: string) => this.#there.pods.remove(id);
  containerCreate = (made: MadeContainer) => this.#there.containers.create(made);
  containerCreated = (made: MadeContainer) => this.#there.containers.created(made);
  containerRemove = (id: string) => this.#there.containers.remove(id);
  containerStart = (id: string, start: () => Promise<void>) =>
    this.#there.containers.start(id, start);
  containerStarted = (id: string) => this.#there.containers.startedUnseen(id);
  containerUpdate = (id: string, asked: LinuxContainerResources) =>
    this.#there.containers.update(id, asked);
  containerUpdated = (id: string) => this.#there.containers.updated(id);

  async beforeStart(entry: ContainerEntry): Promise<AdjustmentPlan["edits"]> {
    if (this.#deps.adjustments.get(entry.id) === undefined) return undefined;
    await applySaved(this.#deps.carrying(), entry);
    return savedPlan(this.#deps.adjustments, entry.id)?.edits;
  }

  execEnvironment(id: string): string[] {
    return execEnvironment(savedPlan(this.#deps.adjustments, id)?.env);
  }

  containersStopped = async (ids: readonly string[]) => {
    await Promise.all(ids.map((id) => this.#there.containers.stopped(id)));
  };
}
