import { clone, create, equals } from "@bufbuild/protobuf";
import { ContainerAdjustmentSchema, ContainerSchema } from "../gen/nri/v1alpha1/api_pb.js";
import type {
  Container,
  ContainerAdjustment,
  CreateContainerRequest,
  CreateContainerResponse,
  StopContainerRequest,
  StopContainerResponse,
  UpdateContainerRequest,
  UpdateContainerResponse,
} from "../gen/nri/v1alpha1/api_pb.js";
import type {
  CollectedCreate,
  CollectedUpdate,
  Collector,
  Merging,
  PluginName,
  ValidatorOptions,
} from "./adjust.ts";
import { adjustFields } from "./adjust-fields.ts";
import { checkAdjustment } from "./answer-limits.ts";
import { CollectedUpdates } from "./collect-resources.ts";
import { allOrNothing, Owners } from "./owners.ts";
import { defaultValidator } from "./validator.ts";

/** How answers are merged under Dockline, with the built-in validator where it is on. */
export function createMerging(validator: ValidatorOptions): Merging {
  return {
    create: (request) => new CreateCollector(request),
    update: (request) => new UpdateCollector(request),
    stop: stopCollector,
    updatesOf: (plugin, asked) => {
      const updates = new CollectedUpdates(new Owners());
      updates.add(plugin, asked.update, "evict" in asked ? asked.evict : []);
      return updates.others();
    },
    validate: validator.enabled ? (request) => defaultValidator(validator, request) : undefined,
  };
}

class CreateCollector implements Collector<
  CreateContainerRequest,
  CreateContainerResponse,
  CollectedCreate
> {
  readonly request: CreateContainerRequest;
  readonly #owners = new Owners();
  readonly #updates: CollectedUpdates;
  readonly #ownArgs: readonly string[];
  #adjust: ContainerAdjustment = create(ContainerAdjustmentSchema);

  constructor(request: CreateContainerRequest) {
    this.request = request;
    const container = (request.container ??= create(ContainerSchema));
    this.#ownArgs = [...container.args];
    this.#updates = new CollectedUpdates(this.#owners, { creating: container.id });
  }

  add(plugin: PluginName, response: CreateContainerResponse): void {
    checkAdjustment(plugin, response.adjust);
    allOrNothing([this.#owners.save(), this.#updates.save(), this.#save()], () => {
      if (response.adjust !== undefined) this.#put(plugin, response.adjust);
      this.#updates.add(plugin, response.update, response.evict);
    });
  }

  result(): CollectedCreate {
    const nothing = equals(
      ContainerAdjustmentSchema,
      this.#adjust,
      create(ContainerAdjustmentSchema),
    );
    return {
      adjustment: nothing ? undefined : this.#adjust,
      updates: this.#updates.others(),
      owners: this.#owners.message(),
    };
  }

  #put(plugin: PluginName, answered: ContainerAdjustment): void {
    const container: Container = (this.request.container ??= create(ContainerSchema));
    const step = {
      owners: this.#owners,
      id: container.id,
      plugin,
      asked: clone(ContainerAdjustmentSchema, answered),
      adjust: this.#adjust,
      container,
      ownArgs: this.#ownArgs,
    };
    for (const put of adjustFields) put(step);
  }

  #save(): () => void {
    const adjust = clone(ContainerAdjustmentSchema, this.#adjust);
    const { container } = this.request;
    const before = container === undefined ? undefined : clone(ContainerSchema, container);
    return () => {
      this.#adjust = adjust;
      if (before !== undefined) this.request.container = before;
    };
  }
}

class UpdateCollector implements Collector<
  UpdateContainerRequest,
  UpdateContainerResponse,
  CollectedUpdate
> {
  readonly request: UpdateContainerRequest;
  readonly #owners = new Owners();
  readonly #updates: CollectedUpdates;

  constructor(request: UpdateContainerRequest) {
    this.request = request;
    this.#updates = new CollectedUpdates(this.#owners, { request });
  }

  add(plugin: PluginName, response: UpdateContainerResponse): void {
    allOrNothing([this.#owners.save(), this.#updates.save()], () => {
      this.#updates.add(plugin, response.update, response.evict);
    });
  }

  result(): CollectedUpdate {
    return {
      resources: this.request.linuxResources,
      updates: this.#updates.others(),
      owners: this.#owners.message(),
    };
  }
}

function stopCollector(request: StopContainerRequest): ReturnType<Merging["stop"]> {
  const owners = new Owners();
  const updates = new CollectedUpdates(owners);
  return {
    request,
    add: (plugin: PluginName, response: StopContainerResponse) => {
      allOrNothing([owners.save(), updates.save()], () => {
        updates.add(plugin, response.update);
      });
    },
    result: () => updates.others(),
  };
}
