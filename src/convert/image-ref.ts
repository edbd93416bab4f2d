import { invalidArgument } from "../errors.ts";
import { quoted } from "./field-checks.ts";

/** A parsed image reference in its full form; either tag or digest may be absent, or both. */
export interface ImageReference {
  /** Registry host, "docker.io" for Docker Hub. */
  readonly host: string;
  /** Path below the host, "library/busybox" for Hub's short names. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** What Docker's pull takes. */
export interface PullTarget {
  /** Full name without tag and digest. */
  readonly repository: string;
  /** A tag ("latest" when none was given) or a digest ("sha256:…"), which wins over a tag. */
  readonly tagOrDigest: string;
  /** Whose credentials are wanted. */
  readonly registryHost: string;
}

const HUB = "docker.io";
const HUB_LIBRARY = "library/";
/** As in Docker's own names; "registry-1.docker.io/x" is another name, although the same servers answer. */
const HUB_ALIAS = "index.docker.io";
const DEFAULT_TAG = "latest";
const MAX_NAME_LENGTH = 255;
const MAX_REFERENCE_LENGTH = 1024;

const HEX64 = /^[0-9a-f]{64}$/;
const IMAGE_ID = /^sha256:[0-9a-f]{64}$/;
const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:.]+\\])(?::[0-9]{1,5})?$`);
const COMPONENT = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;

/** The image id ("sha256:…") when the text is one: with its prefix, or 64 bare hex digits. */
export function parseImageId(image: string): string | undefined {
  if (IMAGE_ID.test(image)) return image;
  return HEX64.test(image) ? `sha256:${image}` : undefined;
}

/** Undefined for anything that is not a name with optional tag and digest; ids are not names. */
export function parseImageReference(image: string): ImageReference | undefined {
  if (image.length > MAX_REFERENCE_LENGTH || parseImageId(image) !== undefined) return undefined;
  let rest = image;
  let digest: string | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!DIGEST.test(digest)) return undefined;
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) return undefined;
  }
  const { host, path } = splitHost(rest);
  if (path === "" || host.length + 1 + path.length > MAX_NAME_LENGTH) return undefined;
  if (!HOST.test(host) || !path.split("/").every((part) => COMPONENT.test(part))) return undefined;
  return { host, path, tag, digest };
}

/** Full name without tag and digest, as containerd prints it: "docker.io/library/busybox". */
export function repositoryOf(reference: ImageReference): string {
  return `${reference.host}/${reference.path}`;
}

/** "busybox" → "docker.io/library/busybox:latest"; names with a digest keep only what they have. */
export function fullReference(image: string): string {
  const reference = requireReference(image);
  const { tag, digest } = reference;
  const suffix = digest === undefined ? `:${tag ?? DEFAULT_TAG}` : `@${digest}`;
  return (
    repositoryOf(reference) + (digest !== undefined && tag !== undefined ? `:${tag}` : "") + suffix
  );
}

/**
 * A name as Docker lists it → its full form; what does not parse is given back as it is, since
 * it came from the engine and must stay usable with it.
 */
export function normalizeListed(image: string): string {
  const reference = parseImageReference(image);
  if (reference === undefined) return image;
  return (
    repositoryOf(reference) +
    (reference.tag === undefined ? "" : `:${reference.tag}`) +
    (reference.digest === undefined ? "" : `@${reference.digest}`)
  );
}

/** The form that Docker's own lists use: without "docker.io/" and "library/". */
export function familiarReference(image: string): string {
  const full = normalizeListed(image);
  const path = full.startsWith(`${HUB}/`) ? full.slice(HUB.length + 1) : full;
  const short = path.startsWith(HUB_LIBRARY) ? path.slice(HUB_LIBRARY.length) : path;
  // A first path part that looks like a host, or a second slash, would change the meaning.
  return [short, path].find((form) => normalizeListed(form) === full) ?? full;
}

/**
 * What to ask Docker's image endpoints for: an id as "sha256:…", a name in full form with
 * "latest" where it has neither tag nor digest. Throws InvalidArgument for anything else.
 */
export function lookupReference(image: string): string {
  if (image === "") throw invalidArgument("image: must not be empty");
  const id = parseImageId(image);
  if (id !== undefined) return id;
  const reference = requireReference(image);
  // With both, Docker resolves by digest and insists that the tag is there as well.
  return reference.digest === undefined
    ? fullReference(image)
    : `${repositoryOf(reference)}@${reference.digest}`;
}

/** Throws InvalidArgument for an id (nothing says where to pull it from) and for an invalid name. */
export function pullTarget(image: string): PullTarget {
  if (image === "") throw invalidArgument("image: must not be empty");
  if (parseImageId(image) !== undefined) {
    throw invalidArgument(`image: ${quoted(image)} is an image id, which no registry can serve`);
  }
  const reference = requireReference(image);
  return {
    repository: repositoryOf(reference),
    tagOrDigest: reference.digest ?? reference.tag ?? DEFAULT_TAG,
    registryHost: reference.host,
  };
}

function requireReference(image: string): ImageReference {
  const reference = parseImageReference(image);
  if (reference === undefined)
    throw invalidArgument(`image: ${quoted(withoutUser(image))} is not a valid reference`);
  return reference;
}

/** Somebody's "user:password@host/image" must not reach a log or an event with its password. */
function withoutUser(image: string): string {
  const at = image.indexOf("@");
  return at < 0 || /^sha(256|384|512):/.test(image.slice(at + 1)) ? image : `***${image.slice(at)}`;
}

/** Docker's rule for telling a host from a first path part: a dot, a port, capitals or "localhost". */
function splitHost(name: string): { host: string; path: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost =
    first !== "" &&
    (first.includes(".") ||
      first.includes(":") ||
      first === "localhost" ||
      first.toLowerCase() !== first);
  const host = isHost ? first : HUB;
  const path = isHost ? name.slice(slash + 1) : name;
  if (host !== HUB && host !== HUB_ALIAS) return { host, path };
  // A bare 64-digit name cannot be told from an id; Docker refuses it too.
  if (!path.includes("/") && HEX64.test(path)) return { host: HUB, path: "" };
  return { host: HUB, path: path.includes("/") || path === "" ? path : HUB_LIBRARY + path };
}
