import { equals } from "@bufbuild/protobuf";
import { readFileSync } from "node:fs";
import { readAdjustmentDevices } from "../containers/nri-devices.ts";
import { requireAdjustmentPaths } from "../containers/nri-paths.ts";
import { resize, resourcesBefore } from "../containers/resize.ts";
import { hasEnded } from "../containers/running-process.ts";
import { isContainer } from "../convert/container-facts.ts";
import { readIdentity } from "../convert/labels.ts";
import { toUpdateChange } from "../convert/nri-adjusted-resources.ts";
import type { AdjustmentPlan } from "../convert/nri-adjustment.ts";
import { planAdjustment } from "../convert/nri-plan.ts";
import { Refusals } from "../convert/nri-refusal.ts";
import { toNriResources } from "../convert/nri-resources.ts";
import { editingRuntime } from "../convert/runtime-handler.ts";
import { CriError, errorText } from "../errors.ts";
import { LinuxResourcesSchema, type ContainerUpdate } from "../gen/nri/v1alpha1/api_pb.js";
import type { LinuxContainerResources } from "../gen/runtime/v1/api_pb.js";
import type { CollectedCreate, CollectedUpdate } from "../nri/adjust.ts";
import type { AskedResources, MadeContainer } from "../pods/hooks.ts";
import { failpoint } from "../sys/failpoint.ts";
import { applySaved, toSavedPlan, type SavedDeps } from "./saved.ts";

/** Carries out what plugins ask for. */
export class Adjuster {
  readonly #deps: SavedDeps;

  constructor(deps: SavedDeps) {
    this.#deps = deps;
  }

  /**
   * What was asked at a create: checked, saved and put on. The edits of the OCI spec come with the start.
   *
   * @throws CriError for what cannot be carried out
   */
  async carryOut(
    made: MadeContainer,
    collected: CollectedCreate,
    plugins: readonly string[],
  ): Promise<void> {
    const { adjustments, index } = this.#deps;
    const plan = await this.#plan(made, collected);
    const { nri, edited } =
      readIdentity({ name: made.name, labels: made.body.Labels })?.extra ?? {};
    if (plan?.edits !== undefined && edited !== true) {
      // Without the runtime in front, which a container has from its create on.
      throw new CriError(
        "Unavailable",
        `create container ${made.id}: an NRI plugin has connected meanwhile; the next attempt can be adjusted`,
      );
    }
    if (nri !== true && plan === undefined) return;
    const applied = plan?.resources === undefined;
    const saved = plan === undefined ? {} : { plan: toSavedPlan(plan) };
    await adjustments.save(made.id, { plugins, ...saved, applied });
    failpoint("create.after-nri-save");
    const entry = index.peek(made.id);
    if (!applied && entry !== undefined) await applySaved(this.#deps, entry);
    failpoint("create.after-nri-update");
  }

  /** A create that came to nothing: what was saved for it goes. Never rejects. */
  async forget(containerId: string): Promise<void> {
    const { adjustments, log } = this.#deps;
    await adjustments.delete(containerId).catch((error: unknown) => {
      log.warn({ containerId, error: errorText(error) }, "what NRI plugins said stays on the disk");
    });
  }

  async #plan(
    made: MadeContainer,
    { adjustment, owners }: CollectedCreate,
  ): Promise<AdjustmentPlan | undefined> {
    if (adjustment === undefined) return undefined;
    const facts = await this.#deps.facts();
    const own = owners.owners[made.id];
    await requireAdjustmentPaths(adjustment, own, this.#deps.hostPaths);
    return planAdjustment(adjustment, {
      containerId: made.id,
      owners: own,
      config: made.config,
      pod: made.sandboxConfig,
      engine: { ...facts, editing: editingRuntime(made.sandbox.identity.runtimeHandler, facts) },
      devices: await readAdjustmentDevices(adjustment, own),
      mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
    });
  }

  /** What UpdateContainerResources is to set. @throws CriError for what cannot be set */
  async resourcesOf(
    containerId: string,
    asked: LinuxContainerResources,
    { resources, owners }: CollectedUpdate,
  ): Promise<AskedResources> {
    if (resources === undefined) return { resources: asked };
    if (equals(LinuxResourcesSchema, resources, toNriResources(asked, "kept"))) {
      return { resources: asked };
    }
    const container = this.#deps.index.peek(containerId);
    const before = container && resourcesBefore(this.#deps, container);
    const refusals = new Refusals(owners.owners[containerId]);
    const change = toUpdateChange(resources, before, await this.#deps.facts(), refusals);
    if (change === undefined) return { resources: asked };
    change.resources.oomScoreAdj = asked.oomScoreAdj;
    return change;
  }

  /** Gives the ids of those that could not be changed, each with the reason. */
  async update(updates: readonly ContainerUpdate[]): Promise<ReadonlyMap<string, string>> {
    const failed = new Map<string, string>();
    for (const update of updates) {
      try {
        await this.#update(update);
      } catch (error) {
        if (!update.ignoreFailure) failed.set(update.containerId, errorText(error));
      }
    }
    return failed;
  }

  async #update({ containerId, linux }: ContainerUpdate): Promise<void> {
    const container = this.#deps.index.peek(containerId);
    // One that has gone or ended is no failure: it was there when the plugin decided.
    if (container === undefined || !isContainer(container) || hasEnded(container)) return;
    const before = resourcesBefore(this.#deps, container);
    const facts = await this.#deps.facts();
    const change = toUpdateChange(linux?.resources, before, facts, new Refusals(undefined));
    if (change === undefined) return;
    await resize(this.#deps, container, change.resources, change.docker);
  }
}
