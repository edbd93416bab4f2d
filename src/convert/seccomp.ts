import { invalidArgument } from "../errors.ts";
import type { SecurityProfile } from "../gen/runtime/v1/api_pb.js";
import { API, type EngineFacts } from "./engine-facts.ts";
import { quoted, requireAbsolutePath } from "./field-checks.ts";
import { LOCALHOST, wantedOf } from "./security-profile.ts";

const DEFAULTS = ["runtime/default", "docker/default"];

export interface SeccompRequest {
  readonly profile: SecurityProfile | undefined;
  /** `seccomp_profile_path`, read only without `profile`. */
  readonly deprecatedPath: string;
  /** What holds when neither is set. */
  readonly unset: "default" | "unconfined";
  readonly privileged: boolean;
  /** Text of the localhost profile. */
  readonly localhostText: string | undefined;
}

type Wanted = "default" | "unconfined" | { readonly path: string };

/** The file that the caller must read before translating; undefined when no localhost profile is asked. */
export function localhostSeccompPath(
  profile: SecurityProfile | undefined,
  deprecatedPath = "",
  privileged = false,
): string | undefined {
  const wanted = wantedProfile(profile, deprecatedPath, "unconfined");
  return privileged || typeof wanted === "string" ? undefined : wanted.path;
}

/** Docker's security option. The engine takes the profile's text, not its path, and privileged lifts it. */
export function toSeccompOption(
  request: SeccompRequest,
  facts: Pick<EngineFacts, "apiMinor">,
): string[] {
  const wanted = wantedProfile(request.profile, request.deprecatedPath, request.unset);
  if (request.privileged || wanted === "unconfined") return ["seccomp=unconfined"];
  if (wanted === "default") {
    // Older engines know no word for their own profile and use it when told nothing.
    return facts.apiMinor >= API.seccompBuiltin ? ["seccomp=builtin"] : [];
  }
  if (request.localhostText === undefined) {
    throw invalidArgument(`seccomp: the profile ${quoted(wanted.path)} was not read`);
  }
  return [`seccomp=${compactProfile(wanted.path, request.localhostText)}`];
}

function wantedProfile(
  profile: SecurityProfile | undefined,
  deprecatedPath: string,
  unset: "default" | "unconfined",
): Wanted {
  if (profile !== undefined) {
    return wantedOf(profile, "seccomp", (reference) => ({ path: localhostPath(reference) }));
  }
  if (deprecatedPath === "") return unset;
  if (DEFAULTS.includes(deprecatedPath)) return "default";
  if (deprecatedPath === "unconfined") return "unconfined";
  if (deprecatedPath.startsWith(LOCALHOST)) return { path: localhostPath(deprecatedPath) };
  throw invalidArgument(`seccomp_profile_path: ${quoted(deprecatedPath)} is unknown`);
}

function localhostPath(ref: string): string {
  const path = ref.startsWith(LOCALHOST) ? ref.slice(LOCALHOST.length) : ref;
  return requireAbsolutePath("seccomp.localhost_ref", path);
}

/**
 * The profile's own text without its white space. It is parsed only to be checked: arguments are
 * 64-bit numbers, which JSON.parse would round.
 */
function compactProfile(path: string, text: string): string {
  let profile: unknown;
  try {
    profile = JSON.parse(text);
  } catch {
    profile = undefined;
  }
  if (typeof profile !== "object" || profile === null || Array.isArray(profile)) {
    throw invalidArgument(`seccomp: the profile ${quoted(path)} is not a JSON object`);
  }
  // Strings are matched whole, so that the white space in them stays.
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
}
