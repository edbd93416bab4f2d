import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ResizeDeps } from "../containers/resize.ts";
import { resize } from "../containers/resize.ts";
import type { AdjustmentPlan } from "../convert/nri-adjustment.ts";
import { LinuxContainerResourcesSchema } from "../gen/runtime/v1/api_pb.js";
import type { ContainerEntry } from "../index/container-index.ts";
import type { NriAdjustments } from "../state/nri-adjustments.ts";

export type SavedDeps = ResizeDeps & { readonly adjustments: NriAdjustments };

/** A plan as its file has it. */
type SavedPlan = Omit<AdjustmentPlan, "resources"> & {
  /** Protobuf bytes in base64. */
  readonly resources?: string;
};

export function toSavedPlan({ resources, ...plan }: AdjustmentPlan): SavedPlan {
  if (resources === undefined) return plan;
  const bytes = toBinary(LinuxContainerResourcesSchema, resources);
  return { ...plan, resources: Buffer.from(bytes).toString("base64") };
}

export function savedPlan(adjustments: NriAdjustments, id: string): SavedPlan | undefined {
  return adjustments.get(id)?.plan;
}

/** Puts on in Docker what was asked at the create; nothing when that was done. May be repeated. */
export async function applySaved(deps: SavedDeps, container: ContainerEntry): Promise<void> {
  const saved = deps.adjustments.get(container.id);
  if (saved === undefined || saved.applied) return;
  const plan: SavedPlan | undefined = saved.plan;
  if (plan?.resources !== undefined) {
    const bytes = Buffer.from(plan.resources, "base64");
    const asked = fromBinary(LinuxContainerResourcesSchema, bytes);
    await resize(deps, container, asked, plan.docker);
  }
  await deps.adjustments.save(container.id, { ...saved, applied: true });
}
