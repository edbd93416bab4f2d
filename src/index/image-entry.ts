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
    inspected: true,
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

export function haveSameSummary(a: ImageEntry | undefined, b: ImageEntry): boolean {
  if (a?.summary === undefined || b.summary === undefined) return a?.summary === b.summary;
  return sameSummary(a.summary, b.summary);
}

/** The entry of an image that is yet to be inspected, or again: its names are the list's. */
export function listedEntry(
  summary: ImageSummary,
  known: ImageEntry | undefined,
  revision: number,
): ImageEntry {
  const { RepoTags, RepoDigests, Size } = summary;
  const before = known?.inspected === true ? known.inspect : inspectFromSummary(summary);
  const entry = toEntry({ ...before, RepoTags, RepoDigests, Size }, summary, revision);
  return { ...entry, inspected: false };
}

export function sameNames(a: ImageEntry, b: ImageEntry): boolean {
  const text = ({ repoTags, repoDigests }: ImageEntry): string =>
    JSON.stringify([repoTags, repoDigests]);
  return text(a) === text(b);
}

function inspectFromSummary(summary: ImageSummary): ImageInspect {
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
