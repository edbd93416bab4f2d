import type { Change } from "./container-index.ts";

/** What the table calls when a merge has consequences elsewhere, or needs a fact that it does not hold. */
export interface TableHooks {
  /** The object needs an inspect; `born`: it was made just now and will soon change again. */
  onDirty(id: string, born: boolean): void;
  /** An event named an object that may be ours and is not in the table; `born` as above. */
  onUnknown(id: string, born: boolean): void;
  onChange(change: Change): void;
  /** Labels of an image as far as they are in memory; null when the image is gone. */
  imageLabels(imageId: string): Record<string, string> | null | undefined;
  /** Evidence besides the engine's events and its own flag. */
  oomKilled(id: string): boolean;
}
