import { create } from "@bufbuild/protobuf";
import { toNriResources } from "../convert/nri-resources.ts";
import type { PodSandbox } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerIndex } from "../index/container-index.ts";
import { events } from "../nri/events.ts";
import type { Relay } from "../nri/relay.ts";
import type { PodChange, StartedPod } from "../pods/hooks.ts";
import type { Models } from "./models.ts";
import { States } from "./states.ts";

export interface PodEventsDeps {
  readonly index: Pick<ContainerIndex, "find">;
  readonly relay: Relay;
  readonly models: Models;
  reveal(name: string): void;
}

/** What happens to pods, told to plugins. */
export class PodEvents {
  /** The network is gone when a pod's removal is reported: what it was then is kept. */
  readonly states = new States<PodSandbox | undefined>();
  readonly #deps: PodEventsDeps;

  constructor(deps: PodEventsDeps) {
    this.#deps = deps;
  }

  /** As a member of a request; absent for what nobody knows. */
  of(id: string): { pod?: PodSandbox } {
    return member(this.#deps.models.pod(id) ?? this.states.last(id));
  }

  async run({ id, name, ips }: StartedPod, finish: () => Promise<void>): Promise<void> {
    // The process of its pause container, which the index inspects after the start in any case.
    await this.#deps.index.find("podsandbox", id).catch(() => undefined);
    await this.#deps.relay.inTurn(async () => {
      const pod = this.#deps.models.pod(id, ips);
      this.states.set(id, "running", pod);
      await this.#deps.relay.tell(
        events.RunPodSandbox,
        create(events.RunPodSandbox.request, member(pod)),
        "fails",
      );
      await finish();
      this.#deps.reveal(name);
    });
  }

  async update(id: string, { overhead, resources }: PodChange): Promise<void> {
    await this.#deps.relay.inTurn(async () => {
      const request = create(events.UpdatePodSandbox.request, {
        ...member(this.#deps.models.pod(id)),
        ...(overhead === undefined ? {} : { overheadLinuxResources: toNriResources(overhead) }),
        ...(resources === undefined ? {} : { linuxResources: toNriResources(resources) }),
      });
      await this.#deps.relay.tell(events.UpdatePodSandbox, request, "fails");
    });
  }

  async updated(id: string): Promise<void> {
    const type = events.PostUpdatePodSandbox;
    await this.#deps.relay.inTurn(() =>
      this.#deps.relay.tell(
        type,
        create(type.request, member(this.#deps.models.pod(id))),
        "logged",
      ),
    );
  }

  async stop(id: string): Promise<void> {
    if (!this.states.owesStop(id)) return;
    await this.#deps.relay.inTurn(async () => {
      if (!this.states.owesStop(id)) return;
      const pod = this.#deps.models.pod(id) ?? this.states.last(id);
      this.states.set(id, "stopped", pod);
      const type = events.StopPodSandbox;
      await this.#deps.relay.tell(type, create(type.request, member(pod)), "logged");
    });
  }

  async remove(id: string): Promise<void> {
    await this.stop(id);
    await this.#deps.relay.inTurn(async () => {
      if (this.states.of(id) === undefined) return;
      const pod = this.#deps.models.pod(id) ?? this.states.last(id);
      this.states.drop(id);
      const type = events.RemovePodSandbox;
      await this.#deps.relay.tell(type, create(type.request, member(pod)), "logged");
    });
  }
}

const member = (pod: PodSandbox | undefined): { pod?: PodSandbox } =>
  pod === undefined ? {} : { pod };
