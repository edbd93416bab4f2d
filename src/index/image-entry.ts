import type { ImageInspect, ImageSummary } from "../engine/image-types.ts";
import type { ImageEntry } from "./image-index.ts";

/** A shortened image id; it may be a name as well. */
export function isShortId(reference: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{6,63}$/.test(reference);
}

export function toEntry(
  inspect: ImageInspect,
  summary: ImageSummary | undefined,
  revision: number,
): ImageEntry {
  return {
    id: inspect.Id,
    summary,
    inspect,
    repoTags: names(inspect.RepoTags ?? summary?.RepoTags),
    repoDigests: names(inspect.RepoDigests ?? summary?.RepoDigests),
    revision,
  };
}

function names(list: string[] | null | undefined): readonly string[] {
  return (list ?? []).filter((name) => !name.includes("<none>")).sort();
}

/** Nothing that an inspect would tell can differ. */
export function sameSummary(a: ImageSummary, b: ImageSummary): boolean {
  return (
    a.Size === b.Size &&
    names(a.RepoTags).join(" ") === names(b.RepoTags).join(" ") &&
    names(a.RepoDigests).join(" ") === names(b.RepoDigests).join(" ")
  );
}

/** What a list knows, where the inspect fails. */
export function inspectFromSummary(summary: ImageSummary): ImageInspect {
  const { Id, RepoTags, RepoDigests, Size, Created, Labels } = summary;
  return {
    Id,
    RepoTags,
    RepoDigests,
    Size,
    Created: new Date(Created * 1000).toISOString(),
    Config: { Labels },
  };
}
