import { clone, create } from "@bufbuild/protobuf";
import { CriError } from "../errors.ts";
import {
  ContainerUpdateSchema,
  Field,
  LinuxContainerUpdateSchema,
  LinuxResourcesSchema,
} from "../gen/nri/v1alpha1/api_pb.js";
import type {
  ContainerEviction,
  ContainerUpdate,
  LinuxResources,
  UpdateContainerRequest,
} from "../gen/nri/v1alpha1/api_pb.js";
import type { PluginName } from "./adjust.ts";
import { checkUpdates } from "./answer-limits.ts";
import { allOrNothing, emptyMap, type Owners } from "./owners.ts";
import { classFields, numberFields, type ResourceField } from "./resource-fields.ts";

/**
 * What `asked` sets, claimed and put into each of `into`.
 *
 * @throws FailedPrecondition for what another answer has set; nothing is put anywhere then
 */
export function mergeResources(
  owners: Owners,
  of: { readonly id: string; readonly plugin: PluginName },
  asked: LinuxResources,
  into: readonly LinuxResources[],
): void {
  const { id, plugin } = of;
  const isSet = (field: ResourceField): boolean => field.isSet(asked);
  const [numbers, classes] = [numberFields.filter(isSet), classFields.filter(isSet)];
  for (const { field } of numbers) owners.claim(id, field, plugin);
  for (const { pageSize } of asked.hugepageLimits) {
    owners.claim(id, Field.HugepageLimits, plugin, pageSize);
  }
  for (const key of Object.keys(asked.unified)) {
    owners.claim(id, Field.CgroupsUnified, plugin, key);
  }
  for (const { field } of classes) owners.claim(id, field, plugin);
  for (const target of into) {
    const from = clone(LinuxResourcesSchema, asked);
    for (const field of [...numbers, ...classes]) field.copy(from, target);
    const sizes = from.hugepageLimits.map(({ pageSize }) => pageSize);
    target.hugepageLimits = [
      ...target.hugepageLimits.filter(({ pageSize }) => !sizes.includes(pageSize)),
      ...from.hugepageLimits,
    ];
    target.unified = Object.assign(emptyMap<string>(), target.unified, from.unified);
    // Nobody owns a rule: they add up.
    target.devices.push(...from.devices);
  }
}

/** Updates of containers that exist, as the answers to one event ask for them. */
export class CollectedUpdates {
  readonly #owners: Owners;
  readonly #creating: string | undefined;
  readonly #request: UpdateContainerRequest | undefined;
  #updates = new Map<string, ContainerUpdate>();

  /**
   * @param about the container that the event is about: the one that is being created, which nobody can update, or the
   * request for an update, whose resources change with each answer
   */
  constructor(
    owners: Owners,
    about: { readonly creating?: string; readonly request?: UpdateContainerRequest } = {},
  ) {
    this.#owners = owners;
    this.#creating = about.creating;
    this.#request = about.request;
  }

  /** @throws CriError naming the plugins and the field; part of the answer may count then, see `save` */
  add(
    plugin: PluginName,
    updates: readonly ContainerUpdate[],
    evictions: readonly ContainerEviction[] = [],
  ): void {
    checkUpdates(plugin, updates);
    if (evictions.length > 0) {
      throw new CriError(
        "Unimplemented",
        `NRI plugin ${plugin}: evict: Dockline evicts no containers, as no runtime does`,
      );
    }
    for (const update of updates) this.#addOne(plugin, update);
  }

  /** Of containers other than the one that the event is about. */
  others(): ContainerUpdate[] {
    const own = this.#request?.container?.id;
    return [...this.#updates.values()].filter(({ containerId }) => containerId !== own);
  }

  /** Returns what takes back all that is added from now on. */
  save(): () => void {
    const updates = new Map(
      [...this.#updates].map(([id, update]) => [id, clone(ContainerUpdateSchema, update)]),
    );
    const request = this.#request;
    const asked = request?.linuxResources;
    const resources = asked === undefined ? undefined : clone(LinuxResourcesSchema, asked);
    return () => {
      this.#updates = updates;
      if (request === undefined) return;
      if (resources === undefined) delete request.linuxResources;
      else request.linuxResources = resources;
    };
  }

  #addOne(plugin: PluginName, update: ContainerUpdate): void {
    const { containerId: id, ignoreFailure } = update;
    if (id === this.#creating) {
      throw new CriError(
        "InvalidArgument",
        `NRI plugin ${plugin}: update: container ${id} is being created; its resources are an adjustment`,
      );
    }
    const asked = update.linux?.resources;
    if (asked === undefined) return;
    const collected = this.#updates.get(id) ?? newUpdate(update);
    const into = collected.linux?.resources === undefined ? [] : [collected.linux.resources];
    if (this.#request?.container?.id === id) {
      this.#request.linuxResources ??= create(LinuxResourcesSchema);
      into.push(this.#request.linuxResources);
    }
    try {
      allOrNothing([this.#owners.save()], () => {
        mergeResources(this.#owners, { id, plugin }, asked, into);
      });
    } catch (error) {
      // Dropped whole, and what it would have set is still free for the next plugin.
      if (ignoreFailure) return;
      throw error;
    }
    collected.ignoreFailure &&= ignoreFailure;
    this.#updates.set(id, collected);
  }
}

function newUpdate({ containerId, ignoreFailure }: ContainerUpdate): ContainerUpdate {
  const linux = create(LinuxContainerUpdateSchema, { resources: create(LinuxResourcesSchema) });
  return create(ContainerUpdateSchema, { containerId, ignoreFailure, linux });
}
