import { invalidArgument } from "../errors.ts";
import { SecurityProfile_ProfileType, type SecurityProfile } from "../gen/runtime/v1/api_pb.js";

/** What the deprecated strings of both kinds put before the name of a profile on the node. */
export const LOCALHOST = "localhost/";

/**
 * What a structured profile asks for, the one on the node as `localhost` makes it of the reference.
 *
 * @throws CriError InvalidArgument naming `field` for a type that the CRI does not have
 */
export function wantedOf<T>(
  profile: SecurityProfile,
  field: "apparmor" | "seccomp",
  localhost: (reference: string) => T,
): "default" | "unconfined" | T {
  switch (profile.profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return "default";
    case SecurityProfile_ProfileType.Unconfined:
      return "unconfined";
    case SecurityProfile_ProfileType.Localhost:
      return localhost(profile.localhostRef);
    default:
      throw invalidArgument(`${field}: profile type ${String(profile.profileType)} is unknown`);
  }
}
