import type { ContainerEntry } from "./container-index.ts";

/** Oldest first; the id decides between equals. */
export function byCreation(a: ContainerEntry, b: ContainerEntry): number {
  if (a.createdAtNs !== b.createdAtNs) return a.createdAtNs < b.createdAtNs ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
