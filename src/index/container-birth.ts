import type { ContainerCreate, ContainerInspect, ContainerSummary } from "../engine/types.ts";
import type { Mark } from "./container-index.ts";
import { newRecord, type ContainerRecord, type ReadIdentity } from "./container-record.ts";
import { initialState, stateFromSummary } from "./container-state.ts";

/** After an own create, before any inspect: all but the image's id and the exact time are known. */
export function recordOfCreate(
  id: string,
  name: string,
  create: ContainerCreate,
  read: ReadIdentity,
  mark: Mark,
): ContainerRecord {
  return newRecord({
    id,
    name,
    read,
    labels: create.Labels,
    image: create.Image,
    imageId: create.Image,
    createdAtNs: mark.wallNs,
    state: initialState,
    order: mark.order,
  });
}

export function recordOfSummary(
  summary: ContainerSummary,
  name: string,
  read: ReadIdentity,
  since: Mark,
): ContainerRecord {
  return newRecord({
    id: summary.Id,
    name,
    read,
    labels: summary.Labels ?? {},
    image: summary.Image,
    imageId: summary.ImageID,
    createdAtNs: BigInt(summary.Created) * 1_000_000_000n,
    state: stateFromSummary(summary),
    order: since.order,
  });
}

/** The record of an inspect that is yet to be merged: it counts as changed just before. */
export function recordOfInspect(
  inspect: ContainerInspect,
  name: string,
  read: ReadIdentity,
  since: Mark,
): ContainerRecord {
  return newRecord({
    id: inspect.Id,
    name,
    read,
    labels: inspect.Config.Labels ?? {},
    image: inspect.Config.Image,
    imageId: inspect.Image,
    createdAtNs: since.wallNs,
    state: inspect.State,
    order: since.order - 1,
  });
}
