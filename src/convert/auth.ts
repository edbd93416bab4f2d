import { invalidArgument } from "../errors.ts";
import type { RegistryAuth } from "../engine/image-types.ts";
import type { AuthConfig } from "../gen/runtime/v1/api_pb.js";

type Credentials = Partial<Omit<AuthConfig, "$typeName" | "$unknown">>;

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const HUB_HOSTS = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/**
 * The CRI's credentials → Docker's. Undefined when there are none, and when they name a registry
 * other than the image's: they are not for this one to see. Messages never quote a value.
 *
 * @param registryHost the image's registry (PullTarget.registryHost); unknown, nothing is compared
 * @throws InvalidArgument for an `auth` that is not base64 of "user:password"
 */
export function toRegistryAuth(
  credentials: Credentials | undefined,
  registryHost?: string,
): RegistryAuth | undefined {
  if (credentials === undefined) return undefined;
  const { serverAddress = "" } = credentials;
  if (
    serverAddress !== "" &&
    registryHost !== undefined &&
    !sameRegistry(serverAddress, registryHost)
  ) {
    return undefined;
  }
  const secret = secretOf(credentials);
  if (secret === undefined) return undefined;
  return serverAddress === "" ? secret : { ...secret, serveraddress: serverAddress };
}

/** In containerd's order: name and password, identity token, registry token, the encoded pair. */
function secretOf(credentials: Credentials): RegistryAuth | undefined {
  const { username = "", password = "", auth = "" } = credentials;
  const { identityToken = "", registryToken = "" } = credentials;
  if (username !== "") return { username, password };
  if (identityToken !== "") return { identitytoken: identityToken };
  if (registryToken !== "") return { registrytoken: registryToken };
  return auth === "" ? undefined : decodeAuth(auth);
}

function decodeAuth(auth: string): RegistryAuth {
  const malformed = invalidArgument("auth.auth: not base64 of user:password");
  if (!BASE64.test(auth)) throw malformed;
  const bytes = Buffer.from(auth, "base64");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed;
  }
  const colon = text.indexOf(":");
  if (colon <= 0) throw malformed;
  // Some credential stores pad the password with NULs.
  let end = text.length;
  while (end > colon + 1 && text[end - 1] === "\0") end -= 1;
  return { username: text.slice(0, colon), password: text.slice(colon + 1, end) };
}

function sameRegistry(serverAddress: string, registryHost: string): boolean {
  const host = hostOf(serverAddress);
  if (host === registryHost.toLowerCase()) return true;
  return HUB_HOSTS.includes(host) && HUB_HOSTS.includes(registryHost.toLowerCase());
}

/** "https://host:5000/v1/" and "host:5000" → "host:5000". */
function hostOf(serverAddress: string): string {
  const scheme = serverAddress.indexOf("://");
  const rest = scheme < 0 ? serverAddress : serverAddress.slice(scheme + 3);
  const slash = rest.indexOf("/");
  return (slash < 0 ? rest : rest.slice(0, slash)).toLowerCase();
}
