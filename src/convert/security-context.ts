import { invalidArgument } from "../errors.ts";
import type { HostConfig } from "../engine/types.ts";
import type {
  Capability,
  LinuxContainerSecurityContext,
  LinuxSandboxSecurityContext,
} from "../gen/runtime/v1/api_pb.js";
import { API } from "./engine-facts.ts";
import type { HandlerFacts } from "./engine-facts.ts";
import { quoted, requireAbsolutePath } from "./field-checks.ts";
import { toAppArmorOption } from "./apparmor.ts";
import { notEditing } from "./runtime-handler.ts";
import { toSeccompOption } from "./seccomp.ts";
import { toSelinuxOptions } from "./selinux.ts";

export type SecurityFacts = HandlerFacts<
  "apiMinor" | "apparmorEnabled" | "missingCapabilities" | "noNewPrivilegesByDefault"
>;

type SecurityFields = Pick<
  HostConfig,
  | "Privileged"
  | "ReadonlyRootfs"
  | "CapAdd"
  | "CapDrop"
  | "SecurityOpt"
  | "MaskedPaths"
  | "ReadonlyPaths"
>;

const CAPABILITY = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

/**
 * Security of a workload container, except users and namespaces. Nothing is added that was not
 * asked, and lists are sent as given: an empty list of masked paths is procMount Unmasked, where
 * null would be Docker's defaults. Without any security context Docker's defaults stay.
 *
 * @param seccompProfile text of the localhost profile, read by the caller (localhostSeccompPath)
 */
export function toContainerSecurity(
  context: LinuxContainerSecurityContext | undefined,
  facts: SecurityFacts,
  seccompProfile?: string,
): SecurityFields {
  const privileged = context?.privileged ?? false;
  const capabilities = toCapabilities(context?.capabilities, facts);
  return {
    Privileged: privileged,
    ReadonlyRootfs: context?.readonlyRootfs ?? false,
    ...capabilities,
    ...(context === undefined ? {} : paths(context, privileged)),
    SecurityOpt: [
      ...toSelinuxOptions(context?.selinuxOptions, privileged),
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- kubelets and critest still send it
      ...toAppArmorOption(context?.apparmor, context?.apparmorProfile ?? "", facts),
      ...noNewPrivileges(context, facts),
      ...toSeccompOption(
        {
          profile: context?.seccomp,
          // eslint-disable-next-line @typescript-eslint/no-deprecated -- older kubelets send only this
          deprecatedPath: context?.seccompProfilePath ?? "",
          unset: "unconfined",
          privileged,
          localhostText: seccompProfile,
        },
        facts,
      ),
    ],
  };
}

/**
 * Security of the pause container: as the kubelet asks, always without new privileges, and under
 * Docker's seccomp profile when nothing is said, since it runs nothing of the user's.
 */
export function toSandboxSecurity(
  context: LinuxSandboxSecurityContext | undefined,
  facts: SecurityFacts,
  seccompProfile?: string,
): SecurityFields {
  const privileged = context?.privileged ?? false;
  return {
    Privileged: privileged,
    ReadonlyRootfs: context?.readonlyRootfs ?? false,
    SecurityOpt: [
      ...toSelinuxOptions(context?.selinuxOptions, privileged),
      ...toAppArmorOption(context?.apparmor, "", facts),
      "no-new-privileges",
      ...toSeccompOption(
        {
          profile: context?.seccomp,
          // eslint-disable-next-line @typescript-eslint/no-deprecated -- older kubelets send only this
          deprecatedPath: context?.seccompProfilePath ?? "",
          unset: "default",
          privileged,
          localhostText: seccompProfile,
        },
        facts,
      ),
    ],
  };
}

/** Not asked for, it must not come from daemon.json: set-uid programs would stop working. */
function noNewPrivileges(
  context: LinuxContainerSecurityContext | undefined,
  facts: SecurityFacts,
): string[] {
  if (context?.noNewPrivs === true) return ["no-new-privileges"];
  return facts.noNewPrivilegesByDefault === true ? ["no-new-privileges=false"] : [];
}

/** Privileged means unmasked, whatever the lists say; Docker would apply them. */
function paths(
  context: LinuxContainerSecurityContext,
  privileged: boolean,
): Required<Pick<HostConfig, "MaskedPaths" | "ReadonlyPaths">> {
  const masked = context.maskedPaths.map((path) => requireAbsolutePath("masked_paths", path));
  const readonly = context.readonlyPaths.map((path) => requireAbsolutePath("readonly_paths", path));
  return { MaskedPaths: privileged ? [] : masked, ReadonlyPaths: privileged ? [] : readonly };
}

function toCapabilities(
  capabilities: Capability | undefined,
  facts: SecurityFacts,
): Required<Pick<HostConfig, "CapAdd" | "CapDrop">> {
  const ambient = capabilities?.addAmbientCapabilities ?? [];
  if (ambient.length > 0 && facts.editing === undefined) {
    throw invalidArgument(
      `capabilities.add_ambient_capabilities: not supported on this node: ${notEditing}`,
    );
  }
  const added = checked("add_capabilities", capabilities?.addCapabilities ?? []);
  const dropped = checked("drop_capabilities", capabilities?.dropCapabilities ?? []);
  return {
    CapAdd: [
      ...new Set([
        ...added,
        // Only what a container has at all can be ambient in it.
        ...checked("add_ambient_capabilities", ambient),
      ]),
    ],
    CapDrop: availableDrops(added, dropped, facts),
  };
}

/** Younger than Docker 20.10, which gives them to nobody and refuses their names. */
const unknownTo2010 = ["PERFMON", "BPF", "CHECKPOINT_RESTORE"];

/**
 * What the node itself lacks is dropped already: engines from 23.0 on refuse it, while
 * 20.10 would give "ALL" of them and fail the start. What an engine does not know nobody has.
 */
function availableDrops(
  added: readonly string[],
  dropped: readonly string[],
  facts: SecurityFacts,
): string[] {
  const missing = facts.missingCapabilities ?? [];
  const without = (names: readonly string[], left: readonly string[]): string[] =>
    names.filter((name) => !left.includes(name.toUpperCase().replace(/^CAP_/, "")));
  if (facts.apiMinor <= API.lastWithoutCapabilityCheck) {
    const everything = added.some((name) => name.toUpperCase() === "ALL");
    return without([...new Set([...dropped, ...(everything ? missing : [])])], unknownTo2010);
  }
  return without(dropped, missing);
}

function checked(field: string, names: readonly string[]): string[] {
  for (const name of names) {
    if (!CAPABILITY.test(name)) {
      throw invalidArgument(`capabilities.${field}: ${quoted(name)} is not a capability`);
    }
  }
  return [...names];
}
