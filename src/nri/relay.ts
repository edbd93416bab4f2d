/*
 * src/nri: NRI's protocol, and how the answers of several plugins become one.
 * Not here: Docker and the CRI; src/hooks gives it pods and containers.
 */
import { clone, create } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { CriError, errorText } from "../errors.ts";
import {
  ContainerSchema,
  ValidateContainerAdjustmentRequestSchema,
  type Container,
  type ContainerUpdate,
  type CreateContainerRequest,
  type Event,
  type PodSandbox,
  type StopContainerRequest,
  type UpdateContainerRequest,
} from "../gen/nri/v1alpha1/api_pb.js";
import type { Logger } from "../log.ts";
import { beginStep } from "../sys/call-trace.ts";
import type { Clock } from "../sys/clock.ts";
import { KeyedMutex } from "../sys/mutex.ts";
import type { CollectedCreate, CollectedUpdate, Collector, Merging } from "./adjust.ts";
import type { Asked } from "./asked.ts";
import { events, type EventType } from "./events.ts";
import type { Plugin } from "./plugin.ts";
import { NoAnswer } from "./ttrpc.ts";

export interface Snapshot {
  readonly pods: readonly PodSandbox[];
  readonly containers: readonly Container[];
}

export interface RelayDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly merging: Merging;
  /** Before a plugin takes its turn: whatever the snapshot has to wait for. */
  prepare(plugin: Plugin): Promise<void>;
  /** All that exists and is known to the kubelet when it resolves. */
  snapshot(): Promise<Snapshot>;
  /** Changes containers; gives the ids of those that could not be changed, each with the reason. */
  update(updates: readonly ContainerUpdate[]): Promise<ReadonlyMap<string, string>>;
  /** The number of plugins has changed. */
  changed(): void;
  asked(asked: Asked): void;
}

const QUEUE = "nri:queue";
const ENDED_KEPT = 8;

/**
 * All plugins of the node, and the one queue that every event and every joining plugin goes through. At most one
 * request is with a plugin at any time, except for validators, which are asked together.
 */
export class Relay {
  readonly #deps: RelayDeps;
  readonly #queue = new KeyedMutex();
  #plugins: readonly Plugin[] = [];
  readonly #ended: Plugin[] = [];
  #joining = 0;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
  }

  /** A plugin is there, or about to be, or the built-in validator is. */
  get active(): boolean {
    const { validate } = this.#deps.merging;
    return this.#plugins.length > 0 || this.#joining > 0 || validate !== undefined;
  }

  get plugins(): readonly Plugin[] {
    return this.#plugins;
  }

  /** The last ones that are not connected any more. */
  get ended(): readonly Plugin[] {
    return this.#ended;
  }

  subscribed(event: Event): boolean {
    return this.#plugins.some((plugin) => plugin.subscribes(event));
  }

  /** Work in its turn: nothing else is with a plugin meanwhile, and no plugin joins. */
  async inTurn<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await this.#queue.run(QUEUE, work, signal);
  }

  /**
   * Synchronizes a plugin that has registered; from then on it is asked.
   *
   * @throws what ended it; the connection is closed then
   */
  async join(plugin: Plugin): Promise<void> {
    this.#joining += 1;
    this.#deps.changed();
    try {
      await this.#deps.prepare(plugin);
      await this.inTurn(async () => {
        plugin.requireConnected();
        const { pods, containers } = await this.#deps.snapshot();
        const answer = await plugin.synchronize(pods, containers);
        plugin.requireConnected();
        if (this.#plugins.some(({ fullName }) => fullName === plugin.fullName)) {
          this.#deps.log.warn(
            { plugin: plugin.fullName },
            "an NRI plugin of this name is connected already: both will be asked",
          );
        }
        // Of the same index, who came first is asked first.
        this.#plugins = [...this.#plugins, plugin].sort((a, b) => compare(a.index, b.index));
        await this.#updateOthers(() => this.#deps.merging.updatesOf(plugin.fullName, answer));
      });
    } catch (error) {
      plugin.close(errorText(error));
      throw error;
    } finally {
      this.#joining -= 1;
      this.#deps.changed();
    }
  }

  /** Its connection has ended. */
  left(plugin: Plugin): void {
    // One without a name was no plugin yet.
    if (plugin.fullName !== "") this.#ended.push(plugin);
    if (this.#ended.length > ENDED_KEPT) this.#ended.shift();
    if (!this.#plugins.includes(plugin)) return;
    this.#plugins = this.#plugins.filter((one) => one !== plugin);
    this.#deps.changed();
  }

  /**
   * An event whose answer says nothing, to all who want it; inside a turn.
   *
   * @param failing "fails": the first error is thrown and nobody after it is asked; "logged": all are informed
   * @throws CriError
   */
  async tell<Request extends DescMessage>(
    type: EventType<Request, undefined>,
    request: MessageShape<Request>,
    failing: "fails" | "logged",
  ): Promise<void> {
    for (const plugin of this.#plugins) {
      if (!plugin.subscribes(type.event)) continue;
      try {
        await this.#ask(plugin, type, request);
      } catch (error) {
        if (failing === "fails") throw error;
        this.#deps.log.warn({ event: type.method, error: errorText(error) }, "NRI event failed");
      }
    }
  }

  /**
   * CreateContainer and the validators; inside a turn.
   *
   * @throws CriError for a veto, a conflict, and what nobody can have
   */
  async create(request: CreateContainerRequest): Promise<CollectedCreate> {
    const { pod } = request;
    // Validators see the container as it was.
    const container = request.container && clone(ContainerSchema, request.container);
    const collector = this.#deps.merging.create(request);
    const asked = await this.#collect(events.CreateContainer, collector);
    const collected = collector.result();
    await this.#validate(
      create(ValidateContainerAdjustmentRequestSchema, {
        ...(pod === undefined ? {} : { pod }),
        ...(container === undefined ? {} : { container }),
        ...(collected.adjustment === undefined ? {} : { adjust: collected.adjustment }),
        update: [...collected.updates],
        owners: collected.owners,
        plugins: asked.map(({ name, index }) => ({ name, index })),
      }),
    );
    await this.#updateOthers(() => collected.updates);
    return collected;
  }

  /**
   * UpdateContainer; inside a turn.
   *
   * @throws CriError
   */
  async update(request: UpdateContainerRequest): Promise<CollectedUpdate> {
    const collector = this.#deps.merging.update(request);
    await this.#collect(events.UpdateContainer, collector);
    const collected = collector.result();
    await this.#updateOthers(() => collected.updates);
    return collected;
  }

  /** StopContainer; inside a turn. What fails is logged. */
  async stop(request: StopContainerRequest): Promise<void> {
    const collector = this.#deps.merging.stop(request);
    await this.#collect(events.StopContainer, collector, "logged");
    await this.#updateOthers(() => collector.result());
  }

  async #collect<Request extends DescMessage, Response extends DescMessage>(
    type: EventType<Request, Response>,
    collector: Collector<MessageShape<Request>, MessageShape<Response>, unknown>,
    failing: "fails" | "logged" = "fails",
  ): Promise<Plugin[]> {
    const asked: Plugin[] = [];
    for (const plugin of this.#plugins) {
      if (!plugin.subscribes(type.event)) continue;
      try {
        const answer = await this.#ask(plugin, type, collector.request);
        if (answer === undefined) continue;
        asked.push(plugin);
        collector.add(plugin.fullName, answer as MessageShape<Response>);
      } catch (error) {
        if (failing === "fails") throw error;
        this.#deps.log.warn({ event: type.method, error: errorText(error) }, "NRI event failed");
      }
    }
    return asked;
  }

  /** Whoever does not answer lets nothing pass. */
  async #validate(
    request: MessageShape<typeof ValidateContainerAdjustmentRequestSchema>,
  ): Promise<void> {
    const type = events.ValidateContainerAdjustment;
    const own = this.#deps.merging.validate?.(request);
    if (own !== undefined) throw new CriError("FailedPrecondition", `NRI validator: ${own}`);
    const validators = this.#plugins.filter((plugin) => plugin.subscribes(type.event));
    await Promise.all(
      validators.map(async (plugin) => {
        const answer = await this.#ask(plugin, type, request, true);
        if (answer?.reject !== true) return;
        const reason = errorText(answer.reason).slice(0, 300);
        throw new CriError(
          "FailedPrecondition",
          `NRI plugin ${plugin.fullName} rejects the adjusted container: ${reason}`,
        );
      }),
    );
  }

  /**
   * One plugin's answer. Undefined where none came and its policy lets the request go on.
   *
   * @throws CriError for an answer that is an error, and for none where that must fail
   */
  async #ask<Request extends DescMessage, Response extends DescMessage | undefined>(
    plugin: Plugin,
    type: EventType<Request, Response>,
    request: MessageShape<Request>,
    mustAnswer = false,
  ) {
    // One that has gone meanwhile is not waited for.
    if (plugin.closedBecause !== undefined && !mustAnswer) return undefined;
    const step = beginStep("process", `nri ${plugin.fullName} ${type.method}`);
    const beganMs = this.#deps.clock.monotonicMs();
    const end = (outcome: Asked["outcome"]): void => {
      step.end();
      const seconds = (this.#deps.clock.monotonicMs() - beganMs) / 1000;
      this.#deps.asked({ plugin: plugin.fullName, event: type.method, seconds, outcome });
    };
    try {
      const answer = await plugin.ask(type, request);
      end("ok");
      return answer;
    } catch (error) {
      const why = `NRI plugin ${plugin.fullName}: ${type.method}: ${errorText(error)}`;
      plugin.lastError = `${type.method}: ${errorText(error)}`;
      if (!(error instanceof NoAnswer)) {
        end("error");
        throw new CriError("Unknown", why, { cause: error });
      }
      end("no answer");
      if (!(error.late && plugin.policy.keepConnected)) plugin.close(plugin.lastError);
      if (mustAnswer || plugin.policy.failRequest) throw new CriError("Unavailable", why);
      this.#deps.log.warn(
        { plugin: plugin.fullName, event: type.method, error: errorText(error) },
        "an NRI plugin did not answer: the request goes on without it",
      );
      return undefined;
    }
  }

  async #updateOthers(updates: () => readonly ContainerUpdate[]): Promise<void> {
    try {
      const failed = await this.#deps.update(updates());
      for (const [containerId, error] of failed) {
        this.#deps.log.warn({ containerId, error }, "an NRI plugin's update failed");
      }
    } catch (error) {
      this.#deps.log.warn({ error: errorText(error) }, "NRI plugins' updates are refused");
    }
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
