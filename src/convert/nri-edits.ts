import type { AdjustmentPlan } from "./nri-adjustment.ts";
import type { OciEdits } from "./oci-edits.ts";
import { isObject } from "./field-checks.ts";

type Patch = Readonly<Record<string, unknown>>;

/** Two merge patches as one; the second one's values win. */
export function together(first: Patch | undefined, second: Patch | undefined): Patch | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const merged = Object.assign(Object.create(null), first) as Record<string, unknown>;
  for (const key of Object.keys(second)) {
    const [old, value] = [merged[key], second[key]];
    merged[key] = isObject(old) && isObject(value) ? together(old, value) : value;
  }
  return merged;
}

/** Dockline's own edits of a container, and behind them those of its adjustment. */
export function withAdjustment(own: OciEdits, plan: AdjustmentPlan["edits"]): OciEdits {
  if (plan === undefined) return own;
  const merge = together(own.merge, plan.merge);
  const ops = [...(own.ops ?? []), ...(plan.ops ?? [])];
  const { requires } = plan;
  return {
    ...own,
    ...(merge === undefined ? {} : { merge }),
    ...(ops.length === 0 ? {} : { ops }),
    ...(requires === undefined ? {} : { requires }),
  };
}

/**
 * Docker's `Env` of an exec: dockerd takes the other variables from the container as it was created. A name without
 * "=" takes one away.
 */
export function execEnvironment(set: AdjustmentPlan["env"]): string[] {
  return Object.keys(set ?? {}).map((name) => {
    const value = set?.[name] ?? null;
    return value === null ? name : `${name}=${value}`;
  });
}
