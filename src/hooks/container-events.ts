import { create } from "@bufbuild/protobuf";
import { toNriResources } from "../convert/nri-resources.ts";
import type { Container } from "../gen/nri/v1alpha1/api_pb.js";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import type { ContainerIndex } from "../index/container-index.ts";
import { events } from "../nri/events.ts";
import type { Timeouts } from "../nri/plugin-options.ts";
import type { Relay } from "../nri/relay.ts";
import type { AskedResources, MadeContainer } from "../pods/hooks.ts";
import { settleWithin } from "../sys/abort.ts";
import type { Clock } from "../sys/clock.ts";
import { failpoint } from "../sys/failpoint.ts";
import type { Adjuster } from "./adjuster.ts";
import type { Models } from "./models.ts";
import type { PodEvents } from "./pod-events.ts";
import { States } from "./states.ts";

export interface ContainerEventsDeps {
  readonly index: Pick<ContainerIndex, "find">;
  readonly relay: Relay;
  readonly models: Models;
  readonly pods: PodEvents;
  readonly adjuster: Adjuster;
  readonly clock: Clock;
  readonly timeouts: Timeouts;
  reveal(name: string): void;
}

/** What happens to containers, told to plugins. */
export class ContainerEvents {
  readonly states = new States<Container | undefined>();
  readonly #deps: ContainerEventsDeps;
  /** StartContainer calls under way: an exit is reported after the start. */
  readonly #starting = new Map<string, Promise<void>>();
  readonly #stops = new Map<string, Promise<void>>();

  constructor(deps: ContainerEventsDeps) {
    this.#deps = deps;
  }

  async create(made: MadeContainer): Promise<void> {
    const { id, sandbox } = made;
    this.#deps.models.made(made);
    await this.#deps.relay.inTurn(async () => {
      const asked = this.#both(id, sandbox.id, true);
      this.states.set(id, "created", asked.container);
      try {
        const request = create(events.CreateContainer.request, this.#both(id, sandbox.id, true));
        const names = this.#deps.relay.plugins.map(({ fullName }) => fullName);
        const collected = await this.#deps.relay.create(request);
        failpoint("create.after-nri-create");
        await this.#deps.adjuster.carryOut(made, collected, names);
      } catch (error) {
        this.states.drop(id);
        this.#deps.models.drop(id);
        // Where it cannot be removed, nothing may say that they have agreed.
        await this.#deps.adjuster.forget(id);
        await this.#deps.relay.stop(create(events.StopContainer.request, asked));
        const type = events.RemoveContainer;
        await this.#deps.relay.tell(type, create(type.request, asked), "logged");
        throw error;
      }
      this.#deps.reveal(made.name);
      if (this.#deps.relay.active) return;
      // They have gone since its create began: nobody is informed of what becomes of it.
      this.states.drop(id);
      this.#deps.models.drop(id);
    });
  }

  async created({ id }: MadeContainer): Promise<void> {
    const type = events.PostCreateContainer;
    await this.#deps.relay.inTurn(() =>
      this.#deps.relay.tell(type, create(type.request, this.#both(id)), "logged"),
    );
  }

  async start(id: string, start: () => Promise<void>): Promise<void> {
    let end = (): void => undefined;
    const under = new Promise<void>((resolve) => (end = resolve));
    this.#starting.set(id, under);
    try {
      await this.#startAndTell(id, start);
    } finally {
      if (this.#starting.get(id) === under) this.#starting.delete(id);
      end();
    }
  }

  async #startAndTell(id: string, start: () => Promise<void>): Promise<void> {
    await this.#deps.relay.inTurn(async () => {
      const type = events.StartContainer;
      try {
        await this.#deps.relay.tell(type, create(type.request, this.#both(id)), "fails");
        if (this.states.of(id) !== undefined) this.#toldContainer(id, "running");
      } catch (error) {
        await this.#stopInTurn(id);
        throw error;
      }
    });
    await start();
    const type = events.PostStartContainer;
    if (!this.#deps.relay.subscribed(type.event)) return;
    // Its process: the index inspects it after a start in any case.
    await this.#deps.index.find("container", id).catch(() => undefined);
    await this.#deps.relay.inTurn(() =>
      this.#deps.relay.tell(type, create(type.request, this.#both(id)), "logged"),
    );
  }

  /** One whose start began with nobody there: whoever has joined meanwhile, and seen it before, is informed late. */
  async startedUnseen(id: string): Promise<void> {
    await this.#deps.index.find("container", id).catch(() => undefined);
    await this.#deps.relay.inTurn(async () => {
      if (this.states.of(id) !== "created") return;
      this.#toldContainer(id, "running");
      const both = this.#both(id);
      const { StartContainer: start, PostStartContainer: post } = events;
      await this.#deps.relay.tell(start, create(start.request, both), "logged");
      await this.#deps.relay.tell(post, create(post.request, both), "logged");
    });
  }

  async update(id: string, asked: LinuxContainerResources): Promise<AskedResources> {
    return await this.#deps.relay.inTurn(async () => {
      const collected = await this.#deps.relay.update(
        create(events.UpdateContainer.request, {
          ...this.#both(id),
          linuxResources: toNriResources(asked, "kept"),
        }),
      );
      return await this.#deps.adjuster.resourcesOf(id, asked, collected);
    });
  }

  async updated(id: string): Promise<void> {
    const type = events.PostUpdateContainer;
    await this.#deps.relay.inTurn(() =>
      this.#deps.relay.tell(type, create(type.request, this.#both(id)), "logged"),
    );
  }

  async remove(id: string): Promise<void> {
    await this.stopped(id);
    await this.#deps.relay.inTurn(async () => {
      if (this.states.of(id) === undefined) return;
      const both = this.#both(id);
      this.states.drop(id);
      this.#deps.models.drop(id);
      const type = events.RemoveContainer;
      await this.#deps.relay.tell(type, create(type.request, both), "logged");
    });
  }

  /** Its end is reported once, whoever asks: a stop, a removal, or Docker. */
  async stopped(id: string): Promise<void> {
    const underWay = this.#stops.get(id);
    if (underWay !== undefined) {
      await underWay;
      return;
    }
    if (!this.states.owesStop(id)) return;
    const work = (async () => {
      const { clock, timeouts } = this.#deps;
      const start = this.#starting.get(id);
      // A start that hangs in Docker does not hold up the end of the pod.
      if (start !== undefined) await settleWithin(start, 2 * timeouts.requestMs, clock);
      // How it ended; the same inspect that a list waits for.
      await this.#deps.index.find("container", id).catch(() => undefined);
      await this.#deps.relay.inTurn(() => this.#stopInTurn(id));
    })();
    this.#stops.set(id, work);
    try {
      await work;
    } finally {
      this.#stops.delete(id);
    }
  }

  async #stopInTurn(id: string): Promise<void> {
    if (!this.states.owesStop(id)) return;
    const both = this.#both(id);
    this.#toldContainer(id, "stopped");
    await this.#deps.relay.stop(create(events.StopContainer.request, both));
  }

  #toldContainer(id: string, told: "running" | "stopped"): void {
    const last = this.#deps.models.container(id) ?? this.states.last(id);
    this.states.set(id, told, last);
  }

  /** A container and its pod, as they are or as they last were. */
  #both(id: string, podId?: string, atCreate = false) {
    const container = this.#deps.models.container(id, atCreate) ?? this.states.last(id);
    const itsPod = podId ?? container?.podSandboxId ?? "";
    return { ...this.#deps.pods.of(itsPod), ...(container === undefined ? {} : { container }) };
  }
}
