import { invalidArgument } from "../errors.ts";
import type { SecurityProfile } from "../gen/runtime/v1/api_pb.js";
import type { EngineFacts } from "./engine-facts.ts";
import { quoted, requirePlainText } from "./field-checks.ts";
import { LOCALHOST, wantedOf } from "./security-profile.ts";

/**
 * The profile on the node that a container asks for by name, so that the caller can check that it
 * is loaded; undefined for Docker's default and for none.
 */
export function localhostAppArmorProfile(
  profile: SecurityProfile | undefined,
  deprecated: string,
): string | undefined {
  const wanted = wantedProfile(profile, deprecated);
  return wanted === "default" || wanted === "unconfined" ? undefined : wanted.name;
}

/** Docker's security option; the structured field wins over the deprecated string. */
export function toAppArmorOption(
  profile: SecurityProfile | undefined,
  deprecated: string,
  facts: Pick<EngineFacts, "apparmorEnabled">,
): string[] {
  const wanted = wantedProfile(profile, deprecated);
  // Docker applies its own profile when told nothing, and none to privileged containers.
  if (wanted === "default") return [];
  if (wanted === "unconfined") return ["apparmor=unconfined"];
  if (!facts.apparmorEnabled) {
    throw invalidArgument(
      `apparmor: profile ${quoted(wanted.name)} asked on a node without AppArmor`,
    );
  }
  return [`apparmor=${wanted.name}`];
}

function wantedProfile(
  profile: SecurityProfile | undefined,
  deprecated: string,
): "default" | "unconfined" | { readonly name: string } {
  if (profile !== undefined) {
    return wantedOf(profile, "apparmor", (reference) => ({
      name: profileName("apparmor.localhost_ref", reference),
    }));
  }
  if (deprecated === "" || deprecated === "runtime/default") return "default";
  if (deprecated === "unconfined") return "unconfined";
  if (deprecated.startsWith(LOCALHOST)) {
    return { name: profileName("apparmor_profile", deprecated) };
  }
  throw invalidArgument(`apparmor_profile: ${quoted(deprecated)} is unknown`);
}

function profileName(field: string, ref: string): string {
  const name = ref.startsWith(LOCALHOST) ? ref.slice(LOCALHOST.length) : ref;
  requirePlainText(field, name);
  if (name === "" || name.length > 4096) throw invalidArgument(`${field}: not a profile name`);
  return name;
}
