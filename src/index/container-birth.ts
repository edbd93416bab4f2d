import type {
  ContainerCreate,
  ContainerInspect,
  ContainerState,
  ContainerSummary,
} from "../engine/types.ts";
import { sharedText } from "../convert/shared-text.ts";
import type { Mark } from "./container-index.ts";
import type { Known } from "./container-merge.ts";
import { initialState, stateFromSummary } from "./container-state.ts";

/** After an own create, before any inspect: all but the image's id and the exact time are known. */
export function knownOfCreate(name: string, create: ContainerCreate, mark: Mark): Known {
  return born(
    { name, image: create.Image, imageId: create.Image, createdAtNs: mark.wallNs },
    initialState,
    mark.order,
  );
}

export function knownOfSummary(summary: ContainerSummary, name: string, since: Mark): Known {
  const createdAtNs = BigInt(summary.Created) * 1_000_000_000n;
  return born(
    {
      name,
      image: sharedText(summary.Image),
      imageId: sharedText(summary.ImageID),
      createdAtNs,
    },
    stateFromSummary(summary),
    since.order,
  );
}

/** Of an inspect that is yet to be merged: it counts as changed just before. */
export function knownOfInspect(inspect: ContainerInspect, name: string, since: Mark): Known {
  return born(
    { name, image: inspect.Config.Image, imageId: inspect.Image, createdAtNs: since.wallNs },
    inspect.State,
    since.order - 1,
  );
}

function born(
  names: Pick<Known, "name" | "image" | "imageId" | "createdAtNs">,
  state: ContainerState,
  order: number,
): Known {
  return {
    ...names,
    state,
    inspect: undefined,
    dirty: true,
    changedAt: order,
    stateAt: order,
    inspected: undefined,
    stateNs: 0n,
    exitUnknown: false,
    oomNs: 0n,
  };
}
