import { invalidArgument } from "../errors.ts";
import { parseImageReference, repositoryOf } from "./image-ref.ts";

/** Registry host → repositories' prefixes to try before it, in order. */
export type Mirrors = ReadonlyMap<string, readonly string[]>;

const HUB_HOSTS = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/**
 * `quay.io=mirror.example:5000/quay` and the like; the same registry several times is several
 * mirrors, in this order.
 *
 * @throws InvalidArgument naming the pair
 */
export function parseMirrors(pairs: readonly string[]): Mirrors {
  const mirrors = new Map<string, string[]>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    const [registry, mirror] = [pair.slice(0, Math.max(0, at)), pair.slice(at + 1)];
    const bad = (why: string): Error =>
      invalidArgument(`registry mirror ${JSON.stringify(pair)}: ${why}`);
    if (at < 0) throw bad("want registry=mirror, such as quay.io=mirror.example:5000/quay");
    if (HUB_HOSTS.includes(registry)) {
      throw bad('mirrors of docker.io are Docker\'s own: set "registry-mirrors" in daemon.json');
    }
    // As they will stand in front of an image's path.
    if (!isPrefix(registry) || registry.includes("/")) throw bad("the registry is no host name");
    if (!isPrefix(mirror)) throw bad("the mirror is no host with an optional path");
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), mirror]);
  }
  return mirrors;
}

/** The names of a repository ("quay.io/a/b") at its registry's mirrors. */
export function mirroredRepositories(mirrors: Mirrors, repository: string): string[] {
  const slash = repository.indexOf("/");
  const [host, path] = [repository.slice(0, slash), repository.slice(slash + 1)];
  return (mirrors.get(host) ?? []).map((mirror) => `${mirror}/${path}`);
}

/**
 * The other names of an image that is asked for by digest. Docker can't give a digest to a name that
 * it was not pulled by, so such an image stays under its mirror's name; none for tags and ids.
 */
export function mirroredDigests(mirrors: Mirrors, image: string): string[] {
  const reference = parseImageReference(image);
  if (reference?.digest === undefined) return [];
  const { digest } = reference;
  return mirroredRepositories(mirrors, repositoryOf(reference)).map((name) => `${name}@${digest}`);
}

/** What was asked for where an engine lists `mirror/path@digest`: the digest says it is the same. */
export function askedDigests(mirrors: Mirrors, repoDigest: string): string[] {
  if (!repoDigest.includes("@")) return [];
  const found: string[] = [];
  for (const [registry, prefixes] of mirrors) {
    for (const prefix of prefixes) {
      if (repoDigest.startsWith(`${prefix}/`)) {
        found.push(`${registry}${repoDigest.slice(prefix.length)}`);
      }
    }
  }
  return found;
}

function isPrefix(text: string): boolean {
  const parsed = parseImageReference(`${text}/x`);
  return parsed !== undefined && parsed.tag === undefined && repositoryOf(parsed) === `${text}/x`;
}
