import { invalidArgument } from "../errors.ts";

declare const meaning: unique symbol;
/** What a pod sandbox is asked for by: its lock, its record and its retries go by this name. */
export type AskedName = string & { readonly [meaning]: "asked name" };
/** What Docker calls a container: the asked name, or that with a suffix where a left-over holds it. */
export type DockerName = string & { readonly [meaning]: "Docker's name" };
/** Docker's full id of a pause container, which is the pod sandbox's id. */
export type SandboxId = string & { readonly [meaning]: "sandbox id" };

/** What the CRI's PodSandboxMetadata carries, without the message's own fields. */
export interface SandboxMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
}

export interface ContainerMetadataFields {
  readonly name: string;
  readonly attempt: number;
}

export type ParsedName =
  | { readonly kind: "podsandbox"; readonly metadata: SandboxMetadata }
  | {
      readonly kind: "container";
      readonly metadata: ContainerMetadataFields;
      /** Its attempt is not in a container's name; 0 here. */
      readonly podSandboxMetadata: SandboxMetadata;
    };

const PREFIX = "k8s";
const SANDBOX_CONTAINER = "POD";
const MAX_FIELD_LENGTH = 253;
const MAX_UINT32 = 0xffff_ffff;

/** Docker's charset for names, without the underscore that separates the parts. */
const FIELD = /^[a-zA-Z0-9.-]+$/;
const DECIMAL = /^(?:0|[1-9][0-9]{0,9})$/;
const HEX8 = /^[0-9a-f]{8}$/;

/** `k8s_POD_<name>_<namespace>_<uid>_<attempt>`, as dockershim and cri-dockerd name pause containers. */
export function sandboxName(metadata: SandboxMetadata | undefined): AskedName {
  if (metadata === undefined) throw invalidArgument("sandbox metadata: missing");
  return join([
    SANDBOX_CONTAINER,
    field("sandbox metadata.name", metadata.name),
    field("sandbox metadata.namespace", metadata.namespace),
    field("sandbox metadata.uid", metadata.uid),
    attempt("sandbox metadata.attempt", metadata.attempt),
  ]) as AskedName;
}

/** What the sandbox was asked for by that Docker has under this name, with or without a suffix. */
export function askedNameOf(dockerName: string): AskedName {
  const parsed = parseName(dockerName);
  if (parsed?.kind !== "podsandbox") return dockerName as AskedName;
  try {
    return sandboxName(parsed.metadata);
  } catch {
    // An empty field: nobody can ask for it, so it goes by the name that it has.
    return dockerName as AskedName;
  }
}

/** The name that Docker is asked for at first. */
export const withoutSuffix = (name: AskedName): DockerName => name as string as DockerName;

/** `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`; the attempt is the container's. */
export function containerName(
  metadata: ContainerMetadataFields | undefined,
  sandbox: Omit<SandboxMetadata, "attempt"> | undefined,
): string {
  if (metadata === undefined) throw invalidArgument("container metadata: missing");
  if (sandbox === undefined) throw invalidArgument("sandbox metadata: missing");
  const name = field("container metadata.name", metadata.name);
  if (name === SANDBOX_CONTAINER) {
    throw invalidArgument(
      `container metadata.name: "${SANDBOX_CONTAINER}" is the pause container's`,
    );
  }
  return join([
    name,
    field("sandbox metadata.name", sandbox.name),
    field("sandbox metadata.namespace", sandbox.namespace),
    field("sandbox metadata.uid", sandbox.uid),
    attempt("container metadata.attempt", metadata.attempt),
  ]);
}

/** The variant for a name that a leftover holds and will not give back; eight lower-case hex digits. */
export function withRandomSuffix(name: string, hex8: string): DockerName {
  if (!HEX8.test(hex8)) throw new TypeError("a name suffix is eight lower-case hex digits");
  return `${name}_${hex8}` as DockerName;
}

/**
 * Reads a Docker container name (with or without Docker's leading slash). Undefined for whatever
 * does not follow the grammar: six parts, or seven with the random suffix.
 */
export function parseName(dockerName: string): ParsedName | undefined {
  const parts = (dockerName.startsWith("/") ? dockerName.slice(1) : dockerName).split("_");
  if (parts.length !== 6 && parts.length !== 7) return undefined;
  const [prefix, container, name, namespace, uid, attemptText] = parts as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if (prefix !== PREFIX || !DECIMAL.test(attemptText)) return undefined;
  const parsedAttempt = Number(attemptText);
  if (parsedAttempt > MAX_UINT32) return undefined;
  if (container === SANDBOX_CONTAINER) {
    return { kind: "podsandbox", metadata: { name, namespace, uid, attempt: parsedAttempt } };
  }
  return {
    kind: "container",
    metadata: { name: container, attempt: parsedAttempt },
    podSandboxMetadata: { name, namespace, uid, attempt: 0 },
  };
}

function join(parts: string[]): string {
  return [PREFIX, ...parts].join("_");
}

function field(what: string, value: string): string {
  if (value === "") throw invalidArgument(`${what}: must not be empty`);
  if (value.length > MAX_FIELD_LENGTH) {
    throw invalidArgument(`${what}: longer than ${MAX_FIELD_LENGTH} characters`);
  }
  if (!FIELD.test(value)) {
    throw invalidArgument(`${what}: only letters, digits, "." and "-" are allowed`);
  }
  return value;
}

function attempt(what: string, value: number): string {
  if (!Number.isInteger(value) || value < 0 || value > MAX_UINT32) {
    throw invalidArgument(`${what}: ${value} is not a 32-bit unsigned number`);
  }
  return String(value);
}
