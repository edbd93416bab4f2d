import {
  fullReference,
  normalizeListed,
  parseImageId,
  parseImageReference,
  repositoryOf,
} from "../convert/image-ref.ts";
import { isShortId } from "./image-entry.ts";
import type { ImageEntry } from "./image-index.ts";

/** Which image is meant by an id, a part of one, a tag or a digest. */
export class ImageNames {
  #entries: ReadonlyMap<string, ImageEntry> = new Map();
  readonly #ids = new Map<string, string>();
  readonly #full = new WeakMap<ImageEntry, readonly string[]>();

  /** The images by id are these from now on. The map may change; after other names it is given again. */
  rebuild(entries: ReadonlyMap<string, ImageEntry>): void {
    this.#entries = entries;
    this.#ids.clear();
    for (const entry of entries.values()) {
      for (const name of this.#fullNames(entry)) this.#ids.set(name, entry.id);
    }
  }

  /** Another entry of the same image, with the same names. */
  replace(before: ImageEntry, after: ImageEntry): void {
    this.#full.set(after, this.#fullNames(before));
  }

  resolve(reference: string): ImageEntry | undefined {
    const id = parseImageId(reference);
    if (id !== undefined) return this.#entries.get(id);
    const parsed = parseImageReference(reference);
    if (parsed !== undefined) {
      const name =
        parsed.digest === undefined
          ? fullReference(reference)
          : `${repositoryOf(parsed)}@${parsed.digest}`;
      const named = this.#ids.get(name);
      if (named !== undefined) return this.#entries.get(named);
    }
    if (!isShortId(reference)) return undefined;
    const prefix = reference.startsWith("sha256:") ? reference : `sha256:${reference}`;
    const matches = [...this.#entries.values()].filter((entry) => entry.id.startsWith(prefix));
    return matches.length === 1 ? matches[0] : undefined;
  }

  /** Once for each entry: with thousands of images the names are most of a list's work. */
  #fullNames(entry: ImageEntry): readonly string[] {
    let names = this.#full.get(entry);
    if (names === undefined) {
      names = [...entry.repoTags, ...entry.repoDigests].map(normalizeListed);
      this.#full.set(entry, names);
    }
    return names;
  }
}
