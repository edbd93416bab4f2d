import { matchesGlob } from "node:path";
import { CriError } from "../errors.ts";
import type { RegistryAuth } from "../engine/image-types.ts";
import { toRegistryAuth } from "./auth.ts";

const HUB_KEYS = ["index.docker.io", "registry-1.docker.io"];

/**
 * Credentials for a repository out of a file in the form of docker's `config.json`. Of its `auths`, the
 * keys with the longest host and path that fit count, those without a pattern first. As in the kubelet's
 * own file, each part of a host may be a pattern ("*.azurecr.io"). Undefined when it has none.
 * Messages never quote a value.
 *
 * @param repository in full: "quay.io/org/image"
 * @throws InvalidArgument for a file of another form, or one that leaves this registry to a program
 */
export function credentialsIn(text: string, repository: string): RegistryAuth | undefined {
  return credentialsOf(parse(text), repository);
}

/** The same from a file in the old form of `.dockercfg`, which consists of the `auths` alone. */
export function oldCredentialsIn(text: string, repository: string): RegistryAuth | undefined {
  return credentialsOf({ auths: parse(text) }, repository);
}

function credentialsOf(
  config: Record<string, unknown>,
  repository: string,
): RegistryAuth | undefined {
  const auths = record(config["auths"] ?? {}, '"auths"');
  let best: { rank: number; entry: unknown } | undefined;
  for (const [key, entry] of Object.entries(auths)) {
    const rank = rankOf(nameOf(key), repository);
    if (rank > (best?.rank ?? -1)) best = { rank, entry };
  }
  if (best !== undefined) {
    const { auth, username, password, identitytoken, registrytoken } = record(
      best.entry,
      "an entry of auths",
    );
    const found = toRegistryAuth({
      auth: string(auth),
      username: string(username),
      password: string(password),
      identityToken: string(identitytoken),
      registryToken: string(registrytoken),
    });
    if (found !== undefined) return found;
  }
  const host = repository.slice(0, repository.indexOf("/"));
  const helpers = record(config["credHelpers"] ?? {}, '"credHelpers"');
  const helped = Object.keys(helpers).some((key) => nameOf(key) === host);
  if (helped || config["credsStore"] !== undefined) {
    throw bad(
      `credentials for ${host} are left to a credential program, which Dockline does not run: put them into "auths"`,
    );
  }
  return undefined;
}

/** The registries that a file has credentials for, as it names them. */
export function registriesIn(text: string): string[] {
  return Object.keys(record(parse(text)["auths"] ?? {}, '"auths"')).map(nameOf);
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message would quote the text.
    throw bad("it is not JSON");
  }
  return record(value, "it");
}

/** -1: the key is for another repository. Any host without a pattern ranks above all that have one. */
function rankOf(name: string, repository: string): number {
  if (repository === name || repository.startsWith(`${name}/`)) return 10_000 + name.length;
  const slash = name.indexOf("/");
  const pattern = slash < 0 ? name : name.slice(0, slash);
  if (!/[*?[]/.test(pattern)) return -1;
  const host = repository.slice(0, repository.indexOf("/"));
  const path = slash < 0 ? "" : name.slice(slash);
  const rest = repository.slice(host.length);
  const below = rest === path || rest.startsWith(`${path}/`);
  return below && matchesHost(pattern, host) ? name.length : -1;
}

/** Part by part, so that "*" never stands for several parts; the port has to be the same. */
function matchesHost(pattern: string, host: string): boolean {
  const [wanted = "", wantedPort] = pattern.split(":");
  const [name = "", port] = host.split(":");
  const parts = name.split(".");
  const globs = wanted.split(".");
  return (
    wantedPort === port &&
    globs.length === parts.length &&
    globs.every((glob, at) => glob === parts[at] || matchesGlob(parts[at] ?? "", glob))
  );
}

/** "https://index.docker.io/v1/" → "docker.io", "http://host:5000/v2" → "host:5000". */
function nameOf(key: string): string {
  const scheme = key.indexOf("://");
  const name = (scheme < 0 ? key : key.slice(scheme + 3)).replace(/\/(?:v[12]\/?)?$/, "");
  const slash = name.indexOf("/");
  const host = (slash < 0 ? name : name.slice(0, slash)).toLowerCase();
  const path = slash < 0 ? "" : name.slice(slash);
  return (HUB_KEYS.includes(host) ? "docker.io" : host) + path;
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

const string = (value: unknown): string => (typeof value === "string" ? value : "");

const bad = (why: string): CriError =>
  new CriError("InvalidArgument", `the registry credentials' file cannot be used: ${why}`);
