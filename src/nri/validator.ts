import { parse as parseYaml } from "yaml";
import { errorText } from "../errors.ts";
import { Field, SecurityProfile_ProfileType } from "../gen/nri/v1alpha1/api_pb.js";
import type { PodSandbox, ValidateContainerAdjustmentRequest } from "../gen/nri/v1alpha1/api_pb.js";
import type { ValidatorOptions } from "./adjust.ts";

const requiredPlugins = "required-plugins.noderesource.dev";
/** Bytes; an annotation that names plugins is short. */
const annotationLimit = 64 << 10;
const trueWords = ["1", "t", "T", "TRUE", "true", "True"];
const falseWords = ["0", "f", "F", "FALSE", "false", "False"];

/**
 * What the options forbid plugins to adjust, and which plugins a container must have been shown to.
 *
 * @returns why the container must not be created
 */
export function defaultValidator(
  options: ValidatorOptions,
  request: ValidateContainerAdjustmentRequest,
): string | undefined {
  return (
    hooks(options, request) ??
    seccomp(options, request) ??
    namespaces(options, request) ??
    required(options, request) ??
    sysctls(options, request)
  );
}

type Check = (
  options: ValidatorOptions,
  request: ValidateContainerAdjustmentRequest,
) => string | undefined;

const ownersOf = ({ container, owners }: ValidateContainerAdjustmentRequest) =>
  owners?.owners[container?.id ?? ""];

const hooks: Check = (options, request) => {
  const owner = ownersOf(request)?.simple[Field.OciHooks];
  if (!options.rejectOciHookAdjustment || owner === undefined) return undefined;
  return `${owner}: OCI hooks must not be adjusted here`;
};

const seccomp: Check = (options, request) => {
  const owner = ownersOf(request)?.simple[Field.SeccompPolicy];
  if (owner === undefined) return undefined;
  const profile = request.container?.linux?.seccompProfile;
  const type = profile?.profileType ?? SecurityProfile_ProfileType.UNCONFINED;
  const [rejected, name] = (
    {
      [SecurityProfile_ProfileType.UNCONFINED]: [
        options.rejectUnconfinedSeccompAdjustment,
        "an unconfined container",
      ],
      [SecurityProfile_ProfileType.RUNTIME_DEFAULT]: [
        options.rejectRuntimeDefaultSeccompAdjustment,
        "a container with the runtime's default profile",
      ],
      [SecurityProfile_ProfileType.LOCALHOST]: [
        options.rejectCustomSeccompAdjustment,
        "a container with a profile of its own",
      ],
    } as const
  )[type];
  return rejected ? `${owner}: seccomp of ${name} must not be adjusted here` : undefined;
};

const namespaces: Check = (options, request) => {
  const owners = ownersOf(request)?.compound[Field.Namespace]?.owners;
  if (!options.rejectNamespaceAdjustment || owners === undefined) return undefined;
  const who = Object.keys(owners).map((type) => `${owners[type] ?? ""} (${type})`);
  return `${who.join(", ")}: namespaces must not be adjusted here`;
};

const sysctls: Check = (options, request) => {
  if (!options.rejectSysctlAdjustment) return undefined;
  const owners = ownersOf(request)?.compound[Field.Sysctl]?.owners ?? {};
  const who = Object.keys(request.adjust?.linux?.sysctl ?? {}).flatMap((key) => owners[key] ?? []);
  if (who.length === 0) return undefined;
  return `${[...new Set(who)].join(", ")}: sysctls must not be adjusted here`;
};

const required: Check = (options, request) => {
  const { pod } = request;
  const container = request.container?.name ?? "";
  const toleration = options.tolerateMissingPluginsAnnotation;
  if (toleration !== "") {
    const value = annotation(pod, toleration, container);
    if (value !== undefined) {
      if (trueWords.includes(value)) return undefined;
      if (!falseWords.includes(value)) {
        return `annotation ${toleration}: ${JSON.stringify(value.slice(0, 80))} is neither true nor false`;
      }
    }
  }
  const listed = annotation(pod, requiredPlugins, container);
  let wanted: string[];
  try {
    wanted = [...options.requiredPlugins, ...(listed === undefined ? [] : names(listed))];
  } catch (error) {
    return `annotation ${requiredPlugins}: ${errorText(error)}`;
  }
  const asked = new Set(request.plugins.flatMap(({ name, index }) => [name, `${index}-${name}`]));
  const missing = wanted.filter((name) => !asked.has(name));
  if (missing.length === 0) return undefined;
  return `the required NRI plugin${missing.length > 1 ? "s" : ""} ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} not connected`;
};

/** The container's own before the pod's before one for all. */
function annotation(
  pod: PodSandbox | undefined,
  key: string,
  container: string,
): string | undefined {
  const annotations: Readonly<Record<string, string>> = pod?.annotations ?? {};
  const found = [`${key}/container.${container}`, `${key}/pod`, key].find((name) =>
    Object.hasOwn(annotations, name),
  );
  return found === undefined ? undefined : annotations[found];
}

function names(text: string): string[] {
  if (text.length > annotationLimit) throw new Error("too long");
  // Without types: `[ 10 ]` names a plugin, not a number.
  const value: unknown = parseYaml(text, { schema: "failsafe", maxAliasCount: 0 });
  if (value === null || value === "") return [];
  if (!Array.isArray(value) || !value.every((one) => typeof one === "string")) {
    throw new Error("not a list of names");
  }
  return value;
}
