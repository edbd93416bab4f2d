import type { TarEntry } from "./read-tar.ts";

/** What an image holds that no image volume can be made of. */
export class UnusableImage extends Error {
  override readonly name = "UnusableImage";
}

/** How much all layers of one image may bring: an archive is not believed in what it says of itself. */
export class UnpackBudget {
  #bytes: number;
  #entries: number;
  constructor(limits: { bytes: number; entries: number }) {
    this.#bytes = limits.bytes;
    this.#entries = limits.entries;
  }
  /** @throws UnusableImage when the image is larger than it may be */
  take(bytes: number): void {
    this.#entries -= 1;
    this.#bytes -= bytes;
    if (this.#entries < 0) throw new UnusableImage("the image has too many files");
    if (this.#bytes < 0) throw new UnusableImage("the image holds more than its size says");
  }
}

const MAX_ID = 0xff_ff_ff_fe;
const MAX_NAME_BYTES = 255;

/** What an entry says of itself besides its content. */
export interface Owned {
  uid: number;
  gid: number;
  mode: number;
  mtime: Date;
}

/** Null where the header has none, or is of a kind that tar-stream does not know. */
export const linkOf = ({ linkname }: { linkname: string | null }): string => linkname ?? "";
export const kindOf = ({ type }: { type: string | null }): string =>
  type ?? "file of an unknown kind";

/** Makes the error out of the reason. */
export type Refusal = (why: string) => UnusableImage;

export const refusal =
  (name: string): Refusal =>
  (why) =>
    new UnusableImage(
      `the image's file ${JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name)} ${why}`,
    );

/** A byte that is not UTF-8 arrives as U+FFFD: two names could become one. */
export const isPlain = (text: string): boolean => !text.includes("\0") && !text.includes("\uFFFD");

/** A name as the parts of a path below the layer's root; [] for the root itself. */
export function partsOf(name: string, refuse: Refusal): string[] {
  if (!isPlain(name)) throw refuse("has no name in UTF-8");
  if (name.startsWith("/")) throw refuse("has or names an absolute path");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refuse('has or names a path with ".."');
  if (parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES)) {
    throw refuse("has a name that is too long");
  }
  return parts;
}

/** Ids above 2097151 do not fit a header and stand in a pax record, which tar-stream leaves there. */
export function ownerOf(
  header: TarEntry["header"],
  pax: Readonly<Record<string, string>>,
  refuse: Refusal,
): Owned {
  const id = (key: "uid" | "gid"): number => {
    const text = pax[key];
    const value = text === undefined ? header[key] : Number(text);
    if (!Number.isInteger(value) || value < 0 || value > MAX_ID)
      throw refuse(`has no valid ${key}`);
    return value;
  };
  const { mode } = header;
  if (!Number.isInteger(mode) || mode < 0) throw refuse("has no valid mode");
  const seconds = pax["mtime"] === undefined ? undefined : Number(pax["mtime"]);
  const mtime = seconds === undefined ? header.mtime : new Date(seconds * 1000);
  if (Number.isNaN(mtime.getTime())) throw refuse("has no valid time");
  return { uid: id("uid"), gid: id("gid"), mode: mode & 0o7777, mtime };
}
