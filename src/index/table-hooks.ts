import type { Change } from "./container-index.ts";

/** Where the table hands on what follows from a merge, and asks for what it does not hold itself. */
export interface TableHooks {
  /** The object needs an inspect; `born`: it was made just now and will soon change again. */
  onDirty(id: string, born: boolean): void;
  /** An event spoke of an object that may be ours and is not in the table; `born` as above. */
  onUnknown(id: string, born: boolean): void;
  onChange(change: Change): void;
  /** Labels of an image as far as they are in memory; null when the image is gone. */
  imageLabels(imageId: string): Record<string, string> | null | undefined;
  /** Evidence besides the engine's events and its own flag. */
  oomKilled(id: string): boolean;
}
